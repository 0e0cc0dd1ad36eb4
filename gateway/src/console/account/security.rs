//! Security: another password, and the end of all sessions.

use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use askama::Template;
use secrecy::SecretString;

use super::super::form::Form;
use super::super::page::{Frame, see_other, show_as};
use super::super::visitor::{FreshCookie, Visitor};
use super::Tab;
use crate::auth::accounts::{self, NewPassword};
use crate::auth::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS, sessions, too_weak};
use crate::context::Context;
use crate::error::ApiError;

#[derive(Template)]
#[template(path = "account/security.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    sessions: i64,
    least: usize,
    old_error: Option<String>,
    new_error: Option<String>,
}

async fn show_page(
    context: &Context,
    visitor: &Visitor,
    request: &HttpRequest,
    old_error: Option<String>,
    new_error: Option<String>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [("changed", "The password is changed; all other sessions are over.")];
    let user = visitor.user();
    let sessions = context.db.read(|mut conn| async move { sessions::count(&mut conn, user).await }).await?;
    let refused = old_error.is_some() || new_error.is_some();
    let frame = Tab::Security.frame(visitor).noticing(request, &NOTICES);
    let page = Page { frame, tab: Tab::Security, sessions, least: MIN_PASSWORD_CHARS, old_error, new_error };
    show_as(if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK }, &page)
}

/// GET /account/security
pub(in crate::console) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    show_page(&context, &visitor, &request, None, None).await
}

/// POST /account/security/password
pub(in crate::console) async fn change_password(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let (old, new, session) = (form.text("old"), form.text("new"), &visitor.session);
    let passwords = &context.console.passwords;
    if let Some(weak) = too_weak(new) {
        return show_page(&context, &visitor, &request, None, Some(format!("Choose another one: {weak}.")))
            .await;
    }
    context.console.attempts.take_inside(session.user)?;
    let email = session.email.as_str();
    let known = context.db.read(|mut conn| async move { accounts::find(&mut conn, email).await }).await?;
    let stored = known.map(|known| known.password_hash);
    let wrong = "That is not the present password.";
    let right =
        old.len() <= MAX_PASSWORD_BYTES && passwords.verify(SecretString::from(old), stored.clone()).await?;
    if !right {
        return show_page(&context, &visitor, &request, Some(wrong.to_owned()), None).await;
    }
    let hash = passwords.hash(SecretString::from(new)).await?;
    let token = sessions::SessionToken::generate().ok_or(ApiError::Internal)?;
    let (user, by) = (visitor.user(), visitor.actor());
    let new = &NewPassword { hash: &hash, instead_of: stored.as_deref(), keep: Some((session.id, &token)) };
    let changing =
        context.db.write(|mut conn| async move { accounts::set_password(&mut conn, user, new, by).await });
    if !changing.await? {
        return show_page(&context, &visitor, &request, Some(wrong.to_owned()), None).await;
    }
    request.extensions_mut().insert(FreshCookie(context.console.cookies.give(&token)));
    Ok(see_other("/account/security?done=changed"))
}

/// POST /account/security/sign-out
pub(in crate::console) async fn sign_out_everywhere(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    let (user, by) = (visitor.user(), visitor.actor());
    context.db.write(|mut conn| async move { sessions::end_all(&mut conn, user, by).await }).await?;
    request.extensions_mut().insert(FreshCookie(context.console.cookies.take()));
    Ok(see_other("/sign-in"))
}
