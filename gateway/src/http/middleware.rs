//! The layers around every request: the span with its id, the headers of every response, and compression.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::cookie::Cookie;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, EXPECT, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use gateway_domain::accounts::rate_limit::Window;
use shared::ids::UserId;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::ApiError;
use super::connection::{AnswerBody, Client, RequestBody};
use crate::context::Context;

const MAX_REQUEST_ID: usize = 128;
/// Bytes of a body below which compressing costs more than it saves.
const WORTH_COMPRESSING: u64 = 1024;
const UNCOMPRESSED: HeaderValue = HeaderValue::from_static("identity");

/// How an error becomes a response: a problem for programs, a page for browsers. Set as app data where the
/// faces are put together.
#[derive(Clone, Copy)]
pub struct RenderError(pub fn(&ApiError, &HttpRequest, request_id: &str) -> HttpResponse);

/// A request extension: a cookie that the response shall set.
pub struct SetCookie(pub Cookie<'static>);

/// A request extension: the id that the response, the log and the run carry.
#[derive(Clone)]
pub struct RequestId(pub String);

/// The id of the request, for what outlives it.
#[must_use]
pub fn request_id(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone())
}

/// A request extension: the account that the request belongs to.
pub struct Account(pub UserId);

/// Adds the account to the request and to its span, once it is known.
pub fn record_user(request: &HttpRequest, user: UserId) {
    request.extensions_mut().insert(Account(user));
    Span::current().record("user_id", tracing::field::display(user));
}

/// The outermost layer: all log lines of the request are inside its span.
pub async fn with_request_span(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = own_id(&request).unwrap_or_else(|| Uuid::now_v7().to_string());
    request.extensions_mut().insert(RequestId(id.clone()));
    // At the level error, so that no CAPI_LOG removes the id from the line of an error.
    let span = tracing::error_span!("request", request_id = id, user_id = Empty);
    let Some(client) = request.conn_data::<Client>().cloned() else {
        return finish_response(request, next, id).instrument(span).await;
    };
    let (body, payload) = RequestBody::begin(client.clone(), request.take_payload());
    request.set_payload(payload);
    let answering = finish_response(request, next, id).instrument(span);
    let mut answer = unless_gone(&client, answering).await?;
    keep_or_close(&mut answer, &client, body.is_complete());
    Ok(answer.map_body(|_, answer| AnswerBody::new(answer, body)).map_into_boxed_body())
}

/// The answer, unless the client goes before it is there: then nobody would read it, and waits would hold
/// their places.
async fn unless_gone<T>(
    client: &Client,
    answering: impl Future<Output = Result<T, actix_web::Error>>,
) -> Result<T, actix_web::Error> {
    let mut answering = pin!(answering);
    let gone = || {
        let unread = HttpResponse::new(StatusCode::REQUEST_TIMEOUT);
        InternalError::from_response("the client closed the connection", unread).into()
    };
    poll_fn(|task| match answering.as_mut().poll(task) {
        Poll::Pending if client.is_gone() => Poll::Ready(Err(gone())),
        polled => polled,
    })
    .await
}

/// Says how long the connection stays open. It closes after a request whose body was not read, and when the
/// gateway drains.
fn keep_or_close(answer: &mut ServiceResponse<BoxBody>, client: &Client, complete: bool) {
    let request = answer.request();
    let draining = request
        .app_data::<web::Data<Context>>()
        .is_some_and(|context| context.lifecycle.stopping().is_cancelled());
    let keeps = request.head().connection_type() == ConnectionType::KeepAlive;
    if draining || !complete {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    } else if keeps && let Ok(value) = format!("timeout={}", client.keep_alive().as_secs()).parse() {
        answer.headers_mut().insert(HeaderName::from_static("keep-alive"), value);
    }
}

async fn finish_response(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    id: String,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let (http, answer) = match check_expectation(&request) {
        Ok(()) => {
            let (http, answer) = next.call(request).await?.into_parts();
            (http, answer.map_into_boxed_body())
        }
        Err(error) => request.error_response(error).into_parts(),
    };
    let render = |error: &ApiError| match http.app_data::<RenderError>() {
        Some(RenderError(render)) => render(error, &http, &id),
        None => error.respond(&id),
    };
    let mut code = None;
    let mut render = |error: &ApiError| {
        code = Some(error.problem().code());
        render(error)
    };
    let problem = match answer.error().and_then(|error| error.as_error::<ApiError>()) {
        // The compressing layer refuses encodings by itself, without a problem.
        None if answer.status() == StatusCode::NOT_ACCEPTABLE => Some(render(&ApiError::NotAcceptable)),
        error => error.map(&mut render),
    };
    let mut response = problem.unwrap_or(answer);
    add_headers(&http, response.headers_mut(), &id);
    if let Some(SetCookie(cookie)) = http.extensions_mut().remove::<SetCookie>()
        && let Err(error) = response.add_cookie(&cookie)
    {
        tracing::error!(%error, "failed to set a cookie");
    }
    let status = response.status();
    let route = http.match_pattern().unwrap_or_else(|| "none".to_owned());
    log_answer(&http, &route, status, code);
    let labels = [("route", route), ("status", status.as_u16().to_string())];
    metrics::histogram!("capi_http_request_duration_seconds", &labels)
        .record(started.elapsed().as_secs_f64());
    Ok(ServiceResponse::new(http, response))
}

/// A refused request has a line, so that the id of its problem is found in the log. The lines have no path or
/// query, which may hold secrets.
fn log_answer(request: &HttpRequest, route: &str, status: StatusCode, code: Option<&'static str>) {
    let (method, status_code) = (request.method().as_str(), status.as_u16());
    if status.is_server_error() {
        tracing::error!(route, method, status = status_code, code, "request answered with a server error");
        return;
    }
    let budget = request.app_data::<web::Data<Context>>().map(|context| &context.refused_log);
    let refused = code.filter(|_| status.is_client_error()).zip(budget);
    if let Some((code, left_out)) =
        refused.and_then(|(code, budget)| Some((code, budget.take(code, Instant::now())?)))
    {
        tracing::info!(route, method, status = status_code, code, left_out, "request refused");
    } else {
        tracing::debug!(route, method, status = status_code, "request answered");
    }
}

fn add_headers(request: &HttpRequest, headers: &mut HeaderMap, id: &str) {
    if headers.get(CONTENT_ENCODING) == Some(&UNCOMPRESSED) {
        headers.remove(CONTENT_ENCODING);
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let window = request.extensions().get::<Window>().copied();
    for (name, text) in window.iter().flat_map(rate_limit_headers) {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// The RateLimit header fields (draft-ietf-httpapi-ratelimit-headers).
fn rate_limit_headers(window: &Window) -> [(&'static str, String); 2] {
    [
        ("ratelimit-policy", format!(r#""user";q={};w=60"#, window.limit)),
        ("ratelimit", format!(r#""user";r={};t={}"#, window.remaining, window.whole_seconds())),
    ]
}

/// Inside the compressing layer: marks small bodies, which stay uncompressed.
pub async fn skip_small_bodies(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody + 'static>, actix_web::Error> {
    let mut answer = next.call(request).await?;
    if matches!(answer.response().body().size(), BodySize::Sized(bytes) if bytes < WORTH_COMPRESSING) {
        leave_uncompressed(answer.headers_mut());
    }
    Ok(answer)
}

/// Marks a response that must go out byte for byte.
pub fn leave_uncompressed(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, UNCOMPRESSED);
}

/// Refuses an expectation that no answer fulfils (RFC 9110, 10.1.1).
fn check_expectation(request: &ServiceRequest) -> Result<(), ApiError> {
    let known = |value: &HeaderValue| {
        let items = value.to_str().unwrap_or("?").split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).all(|item| item.eq_ignore_ascii_case("100-continue"))
    };
    if request.version() < Version::HTTP_11 || request.headers().get_all(EXPECT).all(known) {
        return Ok(());
    }
    Err(ApiError::ExpectationFailed)
}

/// The id that the client sent, if it is safe to log.
fn own_id(request: &ServiceRequest) -> Option<String> {
    let own = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let safe = own.filter(|id| {
        !id.is_empty()
            && id.len() <= MAX_REQUEST_ID
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    });
    safe.map(str::to_owned)
}
