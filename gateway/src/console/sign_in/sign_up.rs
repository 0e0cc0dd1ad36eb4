//! GET and POST /sign-up, where CAPI_SIGNUP=open: an account of the plan `free`, and a session.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use secrecy::SecretString;
use shared::webhook_secrets::SecretsError;

use super::super::cookie::CookieRule;
use super::super::form::Form;
use super::super::page::{Frame, see_other, show, show_as};
use super::super::visitor::own_origin;
use super::super::{Console, address};
use super::begin_session;
use crate::config::Signup;
use crate::context::Context;
use crate::http::ApiError;
use gateway_domain::accounts::Actor;
use gateway_domain::accounts::passwords::{MIN_CHARS, too_weak};
use gateway_domain::accounts::users::{self, NewUser};

/// Of accounts that nobody else has made.
const PLAN: &str = "free";

#[derive(Template)]
#[template(path = "sign_in/sign_up.html")]
struct Page<'p> {
    frame: Frame,
    email: &'p str,
    email_error: Option<String>,
    password_error: Option<String>,
    least: usize,
}

impl Page<'_> {
    fn new() -> Self {
        Self {
            frame: Frame::open("Create an account"),
            email: "",
            email_error: None,
            password_error: None,
            least: MIN_CHARS,
        }
    }
}

fn is_open(console: &Console) -> Result<(), ApiError> {
    if console.signup == Signup::Open { Ok(()) } else { Err(ApiError::not_found("page")) }
}

/// GET /sign-up
pub(in crate::console) async fn form(console: web::Data<Console>) -> Result<HttpResponse, ApiError> {
    is_open(&console)?;
    if console.cookies == CookieRule::None {
        return Ok(see_other("/sign-in"));
    }
    show(&Page::new())
}

/// POST /sign-up
pub(in crate::console) async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    own_origin(&request, &console)?;
    is_open(&console)?;
    if console.cookies == CookieRule::None {
        return Ok(see_other("/sign-in"));
    }
    let form = Form::read_unsigned(&request, payload).await?;
    let (email, password, from) =
        (form.text("email").trim(), form.text("password"), address(&request, &context));
    console.attempts.take(email, from)?;
    let email_error = users::wrong_email(email).map(|wrong| format!("The email {wrong}."));
    let password_error = too_weak(password).map(|weak| format!("Choose another one: {weak}."));
    if email_error.is_some() || password_error.is_some() {
        return show_as(StatusCode::BAD_REQUEST, &Page { email, email_error, password_error, ..Page::new() });
    }
    let hash = &console.passwords.hash(SecretString::from(password)).await?;
    let new = NewUser { email, password_hash: hash, plan: PLAN };
    let created = users::create(&context.db, &console.encryption_key, new, Actor::Console(from)).await;
    let created = created.map_err(|error| match error {
        SecretsError::Db(error) => ApiError::from(error),
        error => ApiError::fault(&error),
    });
    if let Some(user) = created? {
        let begun = begin_session(&request, (&context, &console), (user, hash), from, "/apps").await?;
        return Ok(begun.unwrap_or_else(|| see_other("/sign-in")));
    }
    let taken = Some("There is an account with this email already; sign in instead.".to_owned());
    show_as(StatusCode::CONFLICT, &Page { email, email_error: taken, ..Page::new() })
}
