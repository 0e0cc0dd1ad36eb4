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

use super::Console;
use super::page::see_other;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::middleware::SetCookie;
use gateway_domain::accounts::Actor;
use gateway_domain::accounts::sessions::{self, SessionToken};

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
    (context, console): (&Context, &Console),
    (user, password_hash): (UserId, &str),
    from: IpAddr,
    next: &str,
) -> Result<Option<HttpResponse>, ApiError> {
    let token = &SessionToken::generate().ok_or(ApiError::internal())?;
    if !sessions::start(&context.db, user, password_hash, token, Actor::Console(from)).await? {
        return Ok(None);
    }
    request.extensions_mut().insert(SetCookie(console.cookies.give(token)));
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
