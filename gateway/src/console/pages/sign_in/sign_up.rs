//! GET and POST /sign-up, if CAPI_SIGNUP=open: creates an account of the plan `free`, and a session.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::Actor;
use gateway_domain::accounts::passwords::{MIN_CHARS, too_weak};
use gateway_domain::accounts::users::{self, NewUser};
use secrecy::SecretString;
use shared::webhook_secrets::SecretsError;

use super::start_session::start_session;
use crate::config::{SIGN_UP_PLAN, Signup};
use crate::console::form::Form;
use crate::console::format::sentence;
use crate::console::page::{Frame, see_other, show, show_as};
use crate::console::session::check_origin;
use crate::console::session::cookie::CookieRule;
use crate::console::{Console, client_ip};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::limits::Flood;

#[derive(Template)]
#[template(path = "sign_in/sign_up.html")]
struct Page<'p> {
    frame: Frame,
    email: &'p str,
    error: Option<String>,
    email_error: Option<String>,
    password_error: Option<String>,
    min_chars: usize,
}

impl Page<'_> {
    fn new() -> Self {
        Self {
            frame: Frame::open("Create an account"),
            email: "",
            error: None,
            email_error: None,
            password_error: None,
            min_chars: MIN_CHARS,
        }
    }
}

fn check_is_open(console: &Console) -> Result<(), ApiError> {
    if console.signup == Signup::Open { Ok(()) } else { Err(ApiError::not_found("page")) }
}

/// GET /sign-up
pub(crate) async fn form(console: web::Data<Console>) -> Result<HttpResponse, ApiError> {
    check_is_open(&console)?;
    if console.cookies == CookieRule::None {
        return Ok(see_other("/sign-in"));
    }
    show(&Page::new())
}

/// POST /sign-up
pub(crate) async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    check_origin(&request, &console)?;
    check_is_open(&console)?;
    if console.cookies == CookieRule::None {
        return Ok(see_other("/sign-in"));
    }
    let form = Form::read_unsigned(&request, payload).await?;
    let (email, password) = (form.text("email").trim(), form.text("password"));
    let from = client_ip(&request, &context);
    if let Err(Flood(wait)) = console.attempts.take_sign_up(from) {
        let error = format!(
            "Too many accounts were created from your network. Try again in {} s.",
            wait.as_secs() + 1
        );
        return show_as(StatusCode::TOO_MANY_REQUESTS, &Page { email, error: Some(error), ..Page::new() });
    }
    let email_error = users::wrong_email(email).map(|wrong| format!("The email {wrong}."));
    let password_error = too_weak(password).map(|weak| sentence(&weak));
    if email_error.is_some() || password_error.is_some() {
        return show_as(StatusCode::BAD_REQUEST, &Page { email, email_error, password_error, ..Page::new() });
    }
    let hash = &console.passwords.hash_of_sign_up(SecretString::from(password)).await?;
    let new = NewUser { email, password_hash: hash, plan: SIGN_UP_PLAN };
    let created = users::create(&context.db, &console.encryption_key, new, Actor::Console(from)).await;
    let created = created.map_err(|error| match error {
        SecretsError::Db(error) => ApiError::from(error),
        error => ApiError::fault(&error),
    });
    if let Some(user) = created? {
        let started = start_session(&request, (&context, &console), (user, hash), from, "/apps").await?;
        return Ok(started.unwrap_or_else(|| see_other("/sign-in")));
    }
    let taken = Some("An account with this email exists. Sign in instead.".to_owned());
    show_as(StatusCode::CONFLICT, &Page { email, email_error: taken, ..Page::new() })
}
