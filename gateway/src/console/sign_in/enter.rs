//! GET and POST /sign-in: email and password for a session.

use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use askama::Template;
use secrecy::SecretString;

use super::super::cookie::CookieRule;
use super::super::form::Form;
use super::super::page::{Frame, parameter, see_other, show, show_as};
use super::super::visitor::{Visitor, own_origin};
use super::super::{Console, address};
use super::{begin_session, next};
use crate::config::Signup;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::limits::Flood;
use gateway_domain::accounts::passwords::MAX_BYTES;
use gateway_domain::accounts::users;

#[derive(Template)]
#[template(path = "sign_in/sign_in.html")]
struct Page<'p> {
    frame: Frame,
    email: &'p str,
    next: &'p str,
    error: Option<String>,
    /// The address that cannot have sessions.
    no_cookies_at: Option<&'p str>,
    open: bool,
}

impl<'p> Page<'p> {
    fn new(console: &'p Console, next: &'p str) -> Self {
        let closed = console.cookies == CookieRule::None;
        Self {
            frame: Frame::open("Sign in"),
            email: "",
            next,
            error: None,
            no_cookies_at: closed.then_some(console.public_url.as_str()),
            open: console.signup == Signup::Open,
        }
    }
}

/// GET /sign-in
pub(in crate::console) async fn form(
    request: HttpRequest,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    show(&Page::new(&console, next(parameter(&request, "next").as_deref())))
}

/// POST /sign-in
pub(in crate::console) async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    own_origin(&request, &console)?;
    let form = Form::read_unsigned(&request, payload).await?;
    let (email, password, from) = (form.text("email"), form.text("password"), address(&request, &context));
    let next = next(form.get("next"));
    let refuse = |status, error: String| {
        show_as(status, &Page { email, error: Some(error), ..Page::new(&console, next) })
    };
    if console.cookies == CookieRule::None {
        return show(&Page::new(&console, next));
    }
    if let Err(Flood(wait)) = console.attempts.take(email, from) {
        metrics::counter!("capi_sign_ins_total", "outcome" => "throttled").increment(1);
        let error = format!("Too many attempts. Try again in {} s.", wait.as_secs() + 1);
        return refuse(StatusCode::TOO_MANY_REQUESTS, error);
    }
    let known = users::find(&context.db, email).await?;
    let stored = known.as_ref().map(|known| known.password_hash.clone());
    let right =
        password.len() <= MAX_BYTES && console.passwords.verify(SecretString::from(password), stored).await?;
    let begun = match known.filter(|_| right) {
        Some(known) => {
            begin_session(&request, (&context, &console), (known.id, &known.password_hash), from, next)
                .await?
        }
        None => None,
    };
    if let Some(entered) = begun {
        metrics::counter!("capi_sign_ins_total", "outcome" => "ok").increment(1);
        return Ok(entered);
    }
    metrics::counter!("capi_sign_ins_total", "outcome" => "refused").increment(1);
    tracing::info!(%from, "a sign-in was refused");
    refuse(StatusCode::UNAUTHORIZED, "Email or password is wrong.".to_owned())
}

#[derive(Template)]
#[template(path = "sign_in/no_cookie.html")]
struct NoCookie<'p> {
    frame: Frame,
    public_url: &'p str,
}

/// GET /signed-in: on to where he wanted to go, or why that does not work.
pub(in crate::console) async fn arrived(
    request: HttpRequest,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    match Visitor::extract(&request).await {
        Ok(_) => Ok(see_other(next(parameter(&request, "next").as_deref()))),
        Err(ApiError::SignInNeeded) => {
            let public_url = console.public_url.as_str();
            show(&NoCookie { frame: Frame::open("Not signed in"), public_url })
        }
        Err(error) => Err(error),
    }
}
