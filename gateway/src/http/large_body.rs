//! Large answers: counted against their account until the client has read them, and handed to the connection
//! in pieces. Otherwise the connection would copy the whole answer into its own buffer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use bytes::Bytes;
use shared::ids::UserId;

use super::ApiError;
use super::extract::app_data;
use super::limits::{LARGE, Unread};
use super::middleware::Account;
use crate::context::Context;

/// Bytes that the connection buffers at once.
const PIECE: usize = 32 << 10;

/// The innermost layer: what it gets is in memory as a whole, uncompressed.
pub async fn bound_large_bodies(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let answer = next.call(request).await?;
    let is_large = matches!(answer.response().body().size(), BodySize::Sized(bytes) if bytes >= LARGE as u64);
    if !is_large {
        return Ok(answer.map_into_boxed_body());
    }
    let (http, response) = answer.into_parts();
    let (response, body) = response.into_parts();
    let response = match body.try_into_bytes() {
        Ok(bytes) => match count(&http, response.status(), bytes.len()) {
            Ok(unread) => response.set_body(BoxBody::new(Pieces { bytes: shrunk(bytes), _unread: unread })),
            Err(error) => HttpResponse::from_error(error),
        },
        // A stream, which is read as the client reads.
        Err(body) => response.set_body(body).map_into_boxed_body(),
    };
    Ok(ServiceResponse::new(http, response))
}

/// Refuses a request whose account does not read its answers. Called before the request has an effect: once
/// its account is known, and again when its body is there, which a client may delay.
pub fn check_unread(request: &HttpRequest) -> Result<(), ApiError> {
    let Some(user) = account(request) else { return Ok(()) };
    Ok(app_data::<Context>(request)?.unread.check(user)?)
}

/// The account that the request belongs to. What no account asked for is the same for all, like the pages
/// under /docs.
fn account(request: &HttpRequest) -> Option<UserId> {
    request.extensions().get::<Account>().map(|Account(user)| *user)
}

/// Only the answer to a request without effect may be refused: a read, or what is refused already. A client
/// whose create is refused sends it again, and would get a second run.
fn count(request: &HttpRequest, status: StatusCode, bytes: usize) -> Result<Option<Unread>, ApiError> {
    let Some(user) = account(request) else { return Ok(None) };
    let unread = &app_data::<Context>(request)?.unread;
    let may_refuse = [Method::GET, Method::HEAD].contains(request.method()) || status.is_client_error();
    Ok(Some(if may_refuse { unread.take(user, bytes)? } else { unread.count(user, bytes) }))
}

/// Without the spare capacity of the buffer that the answer was written into.
fn shrunk(bytes: Bytes) -> Bytes {
    let mut buffer = Vec::from(bytes);
    buffer.shrink_to_fit();
    buffer.into()
}

/// The pieces of a text that a stream sends.
pub fn pieces(mut text: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || (!text.is_empty()).then(|| text.split_to(text.len().min(PIECE))))
}

struct Pieces {
    bytes: Bytes,
    _unread: Option<Unread>,
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let length = self.bytes.len().min(PIECE);
        Poll::Ready((length > 0).then(|| Ok(self.bytes.split_to(length))))
    }
}
