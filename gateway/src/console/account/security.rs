//! Security: another password, and the end of all sessions.

use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use askama::Template;
use secrecy::SecretString;

use super::super::Console;
use super::super::form::Form;
use super::super::page::{Frame, see_other, show_as};
use super::super::visitor::Visitor;
use super::Tab;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::middleware::SetCookie;
use gateway_domain::accounts::passwords::{MAX_BYTES, MIN_CHARS, too_weak};
use gateway_domain::accounts::sessions;
use gateway_domain::accounts::users::{self, NewPassword};

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
    let sessions = sessions::count(&context.db, visitor.user()).await?;
    let refused = old_error.is_some() || new_error.is_some();
    let frame = Tab::Security.frame(visitor).noticing(request, &NOTICES);
    let page = Page { frame, tab: Tab::Security, sessions, least: MIN_CHARS, old_error, new_error };
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
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let (old, new, session) = (form.text("old"), form.text("new"), &visitor.session);
    let passwords = &console.passwords;
    if let Some(weak) = too_weak(new) {
        return show_page(&context, &visitor, &request, None, Some(format!("Choose another one: {weak}.")))
            .await;
    }
    console.attempts.take_signed_in(session.user)?;
    let known = users::find(&context.db, &session.email).await?;
    let stored = known.map(|known| known.password_hash);
    let wrong = "That is not the present password.";
    let right = old.len() <= MAX_BYTES && passwords.verify(SecretString::from(old), stored.clone()).await?;
    if !right {
        return show_page(&context, &visitor, &request, Some(wrong.to_owned()), None).await;
    }
    let hash = passwords.hash(SecretString::from(new)).await?;
    let token = sessions::SessionToken::generate().ok_or(ApiError::internal())?;
    let new = NewPassword { hash: &hash, instead_of: stored.as_deref(), keep: Some((session.id, &token)) };
    if !users::set_password(&context.db, visitor.user(), new, visitor.actor()).await? {
        return show_page(&context, &visitor, &request, Some(wrong.to_owned()), None).await;
    }
    request.extensions_mut().insert(SetCookie(console.cookies.give(&token)));
    Ok(see_other("/account/security?done=changed"))
}

/// POST /account/security/sign-out
pub(in crate::console) async fn sign_out_everywhere(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    sessions::end_all(&context.db, visitor.user(), visitor.actor()).await?;
    request.extensions_mut().insert(SetCookie(console.cookies.take()));
    Ok(see_other("/sign-in"))
}
