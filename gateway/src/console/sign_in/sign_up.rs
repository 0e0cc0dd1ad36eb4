//! GET and POST /sign-up, where CAPI_SIGNUP=open: an account of the plan `free`, and a session.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use secrecy::SecretString;
use shared::db::DbError;
use shared::webhook_secrets::SecretsError;

use super::super::address;
use super::super::cookie::CookieRule;
use super::super::form::Form;
use super::super::page::{Frame, see_other, show, show_as};
use super::super::visitor::own_origin;
use super::begin_session;
use crate::audit::Actor;
use crate::auth::{MIN_PASSWORD_CHARS, accounts, too_weak};
use crate::config::Signup;
use crate::context::Context;
use crate::error::ApiError;

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
            least: MIN_PASSWORD_CHARS,
        }
    }
}

fn is_open(context: &Context) -> Result<(), ApiError> {
    if context.console.signup == Signup::Open { Ok(()) } else { Err(ApiError::NotFound("page")) }
}

/// GET /sign-up
pub(in crate::console) async fn form(context: web::Data<Context>) -> Result<HttpResponse, ApiError> {
    is_open(&context)?;
    if context.console.cookies == CookieRule::None {
        return Ok(see_other("/sign-in"));
    }
    show(&Page::new())
}

/// POST /sign-up
pub(in crate::console) async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let console = &context.console;
    own_origin(&request, console)?;
    is_open(&context)?;
    if console.cookies == CookieRule::None {
        return Ok(see_other("/sign-in"));
    }
    let form = Form::read_unsigned(&request, payload).await?;
    let (email, password, from) =
        (form.text("email").trim(), form.text("password"), address(&request, &context));
    console.attempts.take(email, from)?;
    let email_error = accounts::wrong_email(email).map(|wrong| format!("The email {wrong}."));
    let password_error = too_weak(password).map(|weak| format!("Choose another one: {weak}."));
    if email_error.is_some() || password_error.is_some() {
        return show_as(StatusCode::BAD_REQUEST, &Page { email, email_error, password_error, ..Page::new() });
    }
    let hash = &console.passwords.hash(SecretString::from(password)).await?;
    let making = context.db.write(|mut conn| async move {
        let made =
            accounts::create(&mut conn, &console.encryption_key, (email, hash, PLAN), Actor::Console(from))
                .await;
        match made {
            Err(SecretsError::Db(error)) => Err::<_, DbError>(error),
            made => Ok(made),
        }
    });
    if let Some(user) = making.await?.map_err(|error| ApiError::fault(&error))? {
        let begun = begin_session(&request, &context, (user, hash), from, "/apps").await?;
        return Ok(begun.unwrap_or_else(|| see_other("/sign-in")));
    }
    let taken = Some("There is an account with this email already; sign in instead.".to_owned());
    show_as(StatusCode::CONFLICT, &Page { email, email_error: taken, ..Page::new() })
}
