//! Signing in, up and out. This file: GET and POST /sign-in, which turn an email and a password into a
//! session, and GET /signed-in.

pub(crate) mod sign_out;
pub(crate) mod sign_up;
mod start_session;

use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::passwords::MAX_BYTES;
use gateway_domain::accounts::users;
use secrecy::SecretString;

use self::start_session::{next_path, start_session};
use crate::config::Signup;
use crate::console::form::Form;
use crate::console::page::{Frame, parameter, see_other, show, show_as};
use crate::console::session::cookie::CookieRule;
use crate::console::session::{Visitor, check_origin};
use crate::console::{Console, client_ip};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::limits::Flood;

#[derive(Template)]
#[template(path = "sign_in/sign_in.html")]
struct Page<'p> {
    frame: Frame,
    email: &'p str,
    next: &'p str,
    error: Option<String>,
    /// The installation's address, if sessions are not possible there.
    no_cookies_at: Option<&'p str>,
    signup_open: bool,
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
            signup_open: console.signup == Signup::Open,
        }
    }
}

/// GET /sign-in
pub(crate) async fn form(
    request: HttpRequest,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    show(&Page::new(&console, next_path(parameter(&request, "next").as_deref())))
}

/// POST /sign-in
pub(crate) async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    check_origin(&request, &console)?;
    let form = Form::read_unsigned(&request, payload).await?;
    let (email, password, from) = (form.text("email"), form.text("password"), client_ip(&request, &context));
    let next = next_path(form.get("next"));
    let refuse = |status, error: String| {
        show_as(status, &Page { email, error: Some(error), ..Page::new(&console, next) })
    };
    if console.cookies == CookieRule::None {
        return show(&Page::new(&console, next));
    }
    if let Err(Flood(wait)) = console.attempts.take_sign_in(email, from) {
        metrics::counter!("capi_sign_ins_total", "outcome" => "throttled").increment(1);
        let error = format!("Too many attempts. Try again in {} s.", wait.as_secs() + 1);
        return refuse(StatusCode::TOO_MANY_REQUESTS, error);
    }
    let known = users::find(&context.db, email).await?;
    let stored = known.as_ref().map(|known| known.password_hash.clone());
    let right =
        password.len() <= MAX_BYTES && console.passwords.verify(SecretString::from(password), stored).await?;
    let signed_in = match known.filter(|_| right) {
        Some(known) => {
            let user = (known.id, known.password_hash.as_str());
            start_session(&request, (&context, &console), user, from, next).await?
        }
        None => None,
    };
    if let Some(response) = signed_in {
        metrics::counter!("capi_sign_ins_total", "outcome" => "ok").increment(1);
        return Ok(response);
    }
    metrics::counter!("capi_sign_ins_total", "outcome" => "refused").increment(1);
    tracing::info!(%from, "refused a sign-in: wrong email or password");
    refuse(StatusCode::UNAUTHORIZED, "Email or password is wrong.".to_owned())
}

#[derive(Template)]
#[template(path = "sign_in/no_cookie.html")]
struct NoCookie<'p> {
    frame: Frame,
    public_url: &'p str,
}

/// GET /signed-in: redirects to the page that the user wanted, or explains that the browser kept no cookie.
pub(crate) async fn signed_in(
    request: HttpRequest,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    match Visitor::extract(&request).await {
        Ok(_) => Ok(see_other(next_path(parameter(&request, "next").as_deref()))),
        Err(ApiError::SignInNeeded) => {
            let public_url = console.public_url.as_str();
            show(&NoCookie { frame: Frame::open("Not signed in"), public_url })
        }
        Err(error) => Err(error),
    }
}
