//! Signing in, up and out.

mod enter;
mod leave;
mod sign_up;

pub(super) use enter::{arrived, form as sign_in_form, handle as sign_in};
pub(super) use leave::handle as sign_out;
pub(super) use sign_up::{form as sign_up_form, handle as sign_up};

use std::net::IpAddr;

use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use shared::ids::UserId;
use url::form_urlencoded;

use super::page::see_other;
use super::visitor::FreshCookie;
use crate::audit::Actor;
use crate::auth::sessions::{self, SessionToken};
use crate::context::Context;
use crate::error::ApiError;

/// Where to go afterwards: a path of ours and nothing else.
fn next(path: Option<&str>) -> &str {
    let ours = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains('\\')
            && !path.chars().any(char::is_control)
    };
    path.filter(ours).unwrap_or("/apps")
}

/// A session for the account, and the way to where he wanted to go: past a page that finds out whether the browser kept
/// the cookie. Nothing where the password was changed meanwhile.
async fn begin_session(
    request: &HttpRequest,
    context: &Context,
    (user, password_hash): (UserId, &str),
    from: IpAddr,
    next: &str,
) -> Result<Option<HttpResponse>, ApiError> {
    let fresh = SessionToken::generate().ok_or(ApiError::Internal)?;
    let (token, by) = (&fresh, Actor::Console(from));
    let beginning = context
        .db
        .write(|mut conn| async move { sessions::begin(&mut conn, user, password_hash, token, by).await });
    if !beginning.await? {
        return Ok(None);
    }
    request.extensions_mut().insert(FreshCookie(context.console.cookies.give(token)));
    tracing::info!(user_id = %user, "signed in");
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
    Ok(Some(see_other(&format!("/signed-in?{query}"))))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn nobody_is_led_elsewhere() {
        assert_eq!(next(Some("/apps/1?tab=2")), "/apps/1?tab=2");
        for elsewhere in
            ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "", "/\n/evil.example"]
        {
            assert_eq!(next(Some(elsewhere)), "/apps", "{elsewhere}");
        }
        assert_eq!(next(None), "/apps");
    }
}
