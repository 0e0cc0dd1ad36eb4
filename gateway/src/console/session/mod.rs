//! Sessions: the signed-in visitor as an extractor. A handler that takes a `Visitor` runs only for a valid
//! session. Requests that change something must also come from one of the console's own pages (`origin`), and
//! their forms must hold the session's token (`form`).

pub(crate) mod cookie;
mod origin;

use std::net::IpAddr;
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use futures_util::future::LocalBoxFuture;
use gateway_domain::accounts::Actor;
use gateway_domain::accounts::sessions::{self, Session, SessionToken};
use shared::ids::UserId;

use super::{Console, client_ip};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::app_data;
use crate::http::large_body::check_unread;
use crate::http::middleware::{SetCookie, record_user};

/// The signed-in user of a request.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) session: Session,
    pub(crate) form_token: String,
    address: IpAddr,
}

impl Visitor {
    pub(crate) const fn user(&self) -> UserId {
        self.session.user
    }

    /// For the audit log.
    pub(crate) const fn actor(&self) -> Actor {
        Actor::Console(self.address)
    }
}

impl AsRef<Self> for Visitor {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl FromRequest for Visitor {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let context = app_data::<Context>(&request)?;
            let console = app_data::<Console>(&request)?;
            if !request.method().is_safe() {
                check_origin(&request, console)?;
            }
            let token = console.cookies.read(&request).ok_or(ApiError::SignInNeeded)?;
            let (hash, from) = (token.sha256(), client_ip(&request, context));
            // Before the database: a client that guesses tokens must not reach it.
            context.flood.check(&hash, from, Instant::now())?;
            let Some(session) = sessions::find(&context.db, &token).await? else {
                context.flood.failed(from, Instant::now());
                return Err(ApiError::SignInNeeded);
            };
            context.flood.succeeded(&hash);
            let safe = request.method().is_safe();
            console.throttle.take(session.user, !safe)?;
            if safe && session.due {
                rotate(&request, (context, console), &token).await?;
            }
            record_user(&request, session.user);
            check_unread(&request)?;
            let form_token = form_token(&console.form_key, &session);
            Ok(Self { session, form_token, address: from })
        })
    }
}

/// Refuses a request that a page of another site sent.
pub(crate) fn check_origin(request: &HttpRequest, console: &Console) -> Result<(), ApiError> {
    if origin::is_own(request.headers(), &console.public_url) {
        return Ok(());
    }
    metrics::counter!("capi_console_forms_rejected_total").increment(1);
    Err(ApiError::ForeignForm)
}

async fn rotate(
    request: &HttpRequest,
    (context, console): (&Context, &Console),
    old: &SessionToken,
) -> Result<(), ApiError> {
    let fresh = SessionToken::generate()?;
    if sessions::rotate(&context.db, old, &fresh).await? {
        request.extensions_mut().insert(SetCookie(console.cookies.give(&fresh)));
    }
    Ok(())
}

/// The token in all forms of a session. It stays the same when the session's cookie is rotated, and only this
/// installation's secret key can compute it.
fn form_token(key: &[u8; 32], session: &Session) -> String {
    let signed = sign(&Key::new(HMAC_SHA256, key), session.id.uuid().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(signed.as_ref())
}
