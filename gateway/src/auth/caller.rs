//! The authenticated caller of a request, as an extractor: a handler that takes one cannot be reached without it.
//! (A middleware's error would skip the middlewares around it.)

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use shared::ids::{ApiKeyId, AppId, UserId};

use super::{Admission, ApiKey, admit};
use crate::context::Context;
use crate::error::ApiError;

/// Who is asking, admitted by the rate limit.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The account.
    pub user: UserId,
    /// The key.
    pub key: ApiKeyId,
    /// The one app that the key may see, where it is scoped.
    pub app: Option<AppId>,
}

impl Caller {
    /// Whether the key may see this app.
    #[must_use]
    pub fn may_see(&self, app: AppId) -> bool {
        self.app.is_none_or(|only| only == app)
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let key = bearer(&request)?;
            let context = request.app_data::<web::Data<Context>>().ok_or(ApiError::Internal)?;
            let (sha256, rates) = (&key.sha256(), &context.rates);
            let admitting = context.db.write(|mut conn| async move { admit(&mut conn, sha256, rates).await });
            match admitting.await? {
                Admission::Unknown => Err(ApiError::Unauthorized(
                    "the API key is unknown, revoked or expired; create a new one",
                )),
                Admission::NoPlan(plan) => Err(ApiError::PlanRequired { plan }),
                Admission::Refused(window) => {
                    request.extensions_mut().insert(window);
                    Err(ApiError::RateLimited { retry_after: window.free_in, limit: window.limit })
                }
                Admission::Admitted { key, user, app, window } => {
                    request.extensions_mut().insert(window);
                    Ok(Self { user, key, app })
                }
            }
        })
    }
}

fn bearer(request: &HttpRequest) -> Result<ApiKey, ApiError> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(ApiError::Unauthorized("send the header `Authorization: Bearer capi_…`"));
    };
    let text = header.to_str().unwrap_or_default();
    let Some((_, token)) = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
    else {
        return Err(ApiError::Unauthorized("use the Bearer scheme: `Authorization: Bearer capi_…`"));
    };
    ApiKey::parse(token.trim()).ok_or(ApiError::Unauthorized(
        "the API key is malformed or has a typo (its checksum is wrong); copy it again",
    ))
}
