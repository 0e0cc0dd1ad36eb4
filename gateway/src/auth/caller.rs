//! The authenticated caller of a request, as an extractor: a handler that takes one cannot be reached without it.
//! (A middleware's error would skip the middlewares around it.)

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use shared::db::DbError;
use shared::ids::{ApiKeyId, AppId, UserId};

use super::{Admission, ApiKey, Flood, KeyHash, Window, admit};
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::client_address;

/// A caller learns within a second that nobody can be let in: never is one let in unchecked.
const ADMIT_DEADLINE: Duration = Duration::from_millis(900);

/// What was asked goes on a little longer, to be counted; not for long, or a database that hangs would keep every
/// connection of the pool.
const GIVE_UP: Duration = Duration::from_secs(2);

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
            let context = request.app_data::<web::Data<Context>>().ok_or(ApiError::Internal)?;
            authenticate(&request, context).await
        })
    }
}

async fn authenticate(request: &HttpRequest, context: &web::Data<Context>) -> Result<Caller, ApiError> {
    let (from, now) = (client_address(request, &context.trusted_proxies), Instant::now());
    let key = bearer(request)?.sha256();
    if let Some(window) = context.refusals.standing(&key, now) {
        metrics::counter!("capi_requests_refused_total", "by" => "memory").increment(1);
        return Err(refused(request, window));
    }
    if let Err(Flood(wait)) = context.flood.check(&key, from, now) {
        metrics::counter!("capi_requests_refused_total", "by" => "flood_guard").increment(1);
        return Err(ApiError::Flood { retry_after: wait.as_secs() + 1 });
    }
    // In a task of its own: who hangs up, or is told that it takes too long, still costs what he costs, and is counted.
    let asking = actix_web::rt::spawn(ask(context.clone(), key, from));
    let asked = tokio::time::timeout(ADMIT_DEADLINE, asking).await.map_err(|_| DbError::Timeout)?;
    match asked.map_err(|_| ApiError::Internal)?? {
        Admission::Unknown => {
            Err(ApiError::Unauthorized("the API key is unknown, revoked or expired; create a new one"))
        }
        Admission::NoPlan(plan) => Err(ApiError::PlanRequired { plan }),
        Admission::Refused(window) => {
            metrics::counter!("capi_requests_refused_total", "by" => "window").increment(1);
            Err(refused(request, window))
        }
        Admission::Admitted { key, user, app, window } => {
            request.extensions_mut().insert(window);
            Ok(Caller { user, key, app })
        }
    }
}

/// Asks the database, and tells the guards what it said.
async fn ask(context: web::Data<Context>, key: KeyHash, from: IpAddr) -> Result<Admission, ApiError> {
    let (hash, rates) = (&key, &context.rates);
    let admitting = context.db.write(|mut conn| async move { admit(&mut conn, hash, rates).await });
    let admission = tokio::time::timeout(GIVE_UP, admitting).await.unwrap_or(Err(DbError::Timeout))?;
    match &admission {
        Admission::Unknown => context.flood.failed(from, Instant::now()),
        Admission::Refused(window) => {
            context.flood.succeeded(&key);
            context.refusals.note(&key, *window, Instant::now());
        }
        Admission::NoPlan(_) | Admission::Admitted { .. } => context.flood.succeeded(&key),
    }
    Ok(admission)
}

fn refused(request: &HttpRequest, window: Window) -> ApiError {
    request.extensions_mut().insert(window);
    ApiError::RateLimited { retry_after: window.retry_after(), limit: window.limit }
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
