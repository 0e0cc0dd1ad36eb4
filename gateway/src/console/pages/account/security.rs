//! Security: changes the password, and ends all sessions.

use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::passwords::{MAX_BYTES, MIN_CHARS, too_weak};
use gateway_domain::accounts::sessions;
use gateway_domain::accounts::users::{self, NewPassword};
use secrecy::SecretString;

use super::Tab;
use crate::console::Console;
use crate::console::form::SignedForm;
use crate::console::format::sentence;
use crate::console::page::{Frame, see_other, show_as};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::middleware::SetCookie;

const WRONG_PASSWORD: &str = "This is not the current password.";

#[derive(Template)]
#[template(path = "account/security.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    sessions: i64,
    min_chars: usize,
    errors: Errors,
}

/// What is wrong with the two fields.
#[derive(Default)]
struct Errors {
    current: Option<String>,
    new: Option<String>,
}

async fn show_page(
    context: &Context,
    visitor: &Visitor,
    request: &HttpRequest,
    errors: Errors,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [("changed", "Password changed. All other sessions have ended.")];
    let sessions = sessions::count(&context.db, visitor.user()).await?;
    let refused = errors.current.is_some() || errors.new.is_some();
    let frame = Tab::Security.frame(visitor).with_notice(request, &NOTICES);
    let page = Page { frame, tab: Tab::Security, sessions, min_chars: MIN_CHARS, errors };
    show_as(if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK }, &page)
}

/// GET /account/security
pub(crate) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    show_page(&context, &visitor, &request, Errors::default()).await
}

/// POST /account/security/password
pub(crate) async fn change_password(
    SignedForm { sender: visitor, form }: SignedForm,
    request: HttpRequest,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    let (current, new, session) = (form.text("old"), form.text("new"), &visitor.session);
    if let Some(weak) = too_weak(new) {
        let errors = Errors { current: None, new: Some(sentence(&weak)) };
        return show_page(&context, &visitor, &request, errors).await;
    }
    console.attempts.take_signed_in(session.user)?;
    let stored = users::find(&context.db, &session.email).await?.map(|known| known.password_hash);
    let wrong = || Errors { current: Some(WRONG_PASSWORD.to_owned()), new: None };
    let right = current.len() <= MAX_BYTES
        && console.passwords.verify(SecretString::from(current), stored.clone()).await?;
    if !right {
        return show_page(&context, &visitor, &request, wrong()).await;
    }
    let hash = console.passwords.hash(SecretString::from(new)).await?;
    let token = sessions::SessionToken::generate()?;
    let new = NewPassword { hash: &hash, instead_of: stored.as_deref(), keep: Some((session.id, &token)) };
    if !users::set_password(&context.db, visitor.user(), new, visitor.actor()).await? {
        return show_page(&context, &visitor, &request, wrong()).await;
    }
    request.extensions_mut().insert(SetCookie(console.cookies.give(&token)));
    Ok(see_other("/account/security?done=changed"))
}

/// POST /account/security/sign-out
pub(crate) async fn sign_out_everywhere(
    SignedForm { sender: visitor, .. }: SignedForm,
    request: HttpRequest,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    sessions::end_all(&context.db, visitor.user(), visitor.actor()).await?;
    request.extensions_mut().insert(SetCookie(console.cookies.take()));
    Ok(see_other("/sign-in"))
}
