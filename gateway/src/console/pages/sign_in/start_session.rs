//! What sign-in and sign-up share: the new session and the redirect after it.

use std::net::IpAddr;
use std::time::Instant;

use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use gateway_domain::accounts::Actor;
use gateway_domain::accounts::sessions::{self, SessionToken};
use shared::ids::UserId;
use url::form_urlencoded;

use crate::console::Console;
use crate::console::page::see_other;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::middleware::SetCookie;

/// The path to redirect to after the sign-in. Any other text than a path of this site gives /apps.
pub(crate) fn next_path(path: Option<&str>) -> &str {
    let own = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains('\\')
            && !path.chars().any(char::is_control)
    };
    path.filter(own).unwrap_or("/apps")
}

/// Starts a session. Redirects to /signed-in, which finds out whether the browser kept the cookie, and from
/// there to `next`. Returns nothing if the password changed concurrently.
pub(crate) async fn start_session(
    request: &HttpRequest,
    (context, console): (&Context, &Console),
    (user, password_hash): (UserId, &str),
    from: IpAddr,
    next: &str,
) -> Result<Option<HttpResponse>, ApiError> {
    let token = &SessionToken::generate()?;
    if !sessions::start(&context.db, user, password_hash, token, Actor::Console(from)).await? {
        return Ok(None);
    }
    request.extensions_mut().insert(SetCookie(console.cookies.give(token)));
    context.unlisted_proxies.signed_in(from, user, Instant::now());
    tracing::info!(user_id = %user, "signed in");
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
    Ok(Some(see_other(&format!("/signed-in?{query}"))))
}

#[cfg(test)]
mod tests {
    use super::next_path;

    #[test]
    fn only_paths_of_this_site_are_followed() {
        assert_eq!(next_path(Some("/apps/1?tab=2")), "/apps/1?tab=2");
        for elsewhere in
            ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "", "/\n/evil.example"]
        {
            assert_eq!(next_path(Some(elsewhere)), "/apps", "{elsewhere}");
        }
        assert_eq!(next_path(None), "/apps");
    }
}
