//! Who is signed in, as an extractor: a page that takes one cannot be reached without it. For everything that changes
//! something the request must also come from one of our own pages; `form` then looks for the form's token.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use gateway_domain::accounts::Actor;
use gateway_domain::accounts::sessions::{self, Session, SessionToken};
use shared::ids::UserId;

use super::{Console, address, origin};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::middleware::{SetCookie, record_user};

/// Who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) session: Session,
    pub(super) form_token: String,
    address: IpAddr,
}

impl Visitor {
    pub(super) const fn user(&self) -> UserId {
        self.session.user
    }

    pub(super) const fn actor(&self) -> Actor {
        Actor::Console(self.address)
    }
}

impl FromRequest for Visitor {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let context = request.app_data::<web::Data<Context>>().ok_or(ApiError::internal())?;
            let console = request.app_data::<web::Data<Console>>().ok_or(ApiError::internal())?;
            if !request.method().is_safe() {
                own_origin(&request, console)?;
            }
            let token = console.cookies.read(&request).ok_or(ApiError::SignInNeeded)?;
            let (hash, from) = (token.sha256(), address(&request, context));
            // As for keys: whoever makes tokens up is stopped in front of the database.
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
            record_user(session.user);
            let form_token = form_token(&console.form_key, &session);
            Ok(Self { session, form_token, address: from })
        })
    }
}

/// Refuses a form of somebody else's page.
pub(super) fn own_origin(request: &HttpRequest, console: &Console) -> Result<(), ApiError> {
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
    let fresh = SessionToken::generate().ok_or(ApiError::internal())?;
    if sessions::rotate(&context.db, old, &fresh).await? {
        request.extensions_mut().insert(SetCookie(console.cookies.give(&fresh)));
    }
    Ok(())
}

/// What every form of a session carries: it outlives the session's tokens, and nobody else can compute it.
fn form_token(key: &[u8; 32], session: &Session) -> String {
    let signed = sign(&Key::new(HMAC_SHA256, key), session.id.uuid().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(signed.as_ref())
}
