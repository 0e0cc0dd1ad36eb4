//! What is done around every request: its id, the headers that each answer carries, and compression where it pays.

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use uuid::Uuid;

use crate::auth::Window;
use crate::console::{FreshCookie, is_for_people, problem_page};
use crate::error::ApiError;

const MAX_REQUEST_ID: usize = 128;
/// Bytes of a body below which compressing costs more than it saves.
const WORTH_COMPRESSING: u64 = 1024;
const UNCOMPRESSED: HeaderValue = HeaderValue::from_static("identity");

/// The outermost layer.
pub(crate) async fn around_every_request(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = request_id(&request);
    let started = std::time::Instant::now();
    let (http, answer) = next.call(request).await?.into_parts();
    // Only here is the request's id known, so problems are written here.
    let to_people = is_for_people(&http);
    let respond =
        |error: &ApiError| if to_people { problem_page(error, &http, &id) } else { error.respond(&id) };
    let problem = match answer.error().and_then(|error| error.as_error::<ApiError>()) {
        // The compressing layer answers this by itself.
        None if answer.status() == StatusCode::NOT_ACCEPTABLE => Some(respond(&ApiError::NotAcceptable)),
        error => error.map(respond),
    };
    let mut response = problem.unwrap_or_else(|| answer.map_into_boxed_body());
    let window = http.extensions().get::<Window>().copied();
    let headers = response.headers_mut();
    if headers.get(CONTENT_ENCODING) == Some(&UNCOMPRESSED) {
        headers.remove(CONTENT_ENCODING);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, text) in window.iter().flat_map(Window::headers) {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(FreshCookie(cookie)) = http.extensions_mut().remove::<FreshCookie>()
        && let Err(error) = response.add_cookie(&cookie)
    {
        tracing::error!(%error, "a cookie cannot be given");
    }
    let status = response.status().as_u16();
    let route = http.match_pattern().unwrap_or_else(|| "none".to_owned());
    tracing::debug!(request_id = id, route, status, "answered");
    metrics::histogram!("capi_http_request_seconds", "route" => route, "status" => status.to_string())
        .record(started.elapsed().as_secs_f64());
    Ok(ServiceResponse::new(http, response))
}

/// Inside the compressing layer: marks answers that it shall leave as they are.
pub(crate) async fn spare_small_bodies(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody + 'static>, actix_web::Error> {
    let mut answer = next.call(request).await?;
    if matches!(answer.response().body().size(), BodySize::Sized(bytes) if bytes < WORTH_COMPRESSING) {
        leave_uncompressed(answer.headers_mut());
    }
    Ok(answer)
}

/// Marks an answer that must go out byte for byte.
pub(crate) fn leave_uncompressed(headers: &mut actix_web::http::header::HeaderMap) {
    headers.insert(CONTENT_ENCODING, UNCOMPRESSED);
}

/// The request's own id where it is sane, else a new one.
fn request_id(request: &ServiceRequest) -> String {
    let own = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let sane = own.filter(|id| {
        !id.is_empty()
            && id.len() <= MAX_REQUEST_ID
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    });
    sane.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
