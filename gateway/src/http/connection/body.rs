//! The body of a request, and the body of its answer, as the connection needs to know them.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

use super::state::Client;

/// Unread bytes of a body that is there as a whole: the library buffers about half of it.
const MAX_UNREAD: usize = 64 << 10;

/// The body of a request. It outlives the handler: if it were dropped before the answer, the library would
/// read the rest of a chunked body without a bound.
pub struct RequestBody {
    client: Client,
    payload: Rc<RefCell<Payload>>,
}

/// The same body, for the handler.
struct Reader {
    client: Client,
    payload: Rc<RefCell<Payload>>,
}

impl RequestBody {
    /// Begins a request. Returns the body for its handler too.
    #[must_use]
    pub fn begin(client: Client, payload: Payload) -> (Self, Payload) {
        client.begin();
        if matches!(payload, Payload::None) {
            return (Self { client, payload: Rc::new(RefCell::new(Payload::None)) }, Payload::None);
        }
        let payload = Rc::new(RefCell::new(payload));
        let reader = Reader { client: client.clone(), payload: Rc::clone(&payload) };
        (Self { client, payload }, Payload::Stream { payload: Box::pin(reader) })
    }

    /// Whether the whole body was received, read or not. A broken body never is.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let (mut payload, mut task) = (self.payload.borrow_mut(), Context::from_waker(Waker::noop()));
        let mut unread = 0;
        while unread <= MAX_UNREAD {
            match Pin::new(&mut *payload).poll_next(&mut task) {
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Ok(bytes))) => unread += bytes.len(),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            }
        }
        false
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut *self.payload.borrow_mut()).poll_next(task);
        if next.is_pending() {
            self.client.wants_body();
        }
        next
    }
}

/// The body of an answer. With its end, the request is answered.
pub struct AnswerBody<B> {
    body: B,
    request: RequestBody,
}

impl<B> AnswerBody<B> {
    pub fn new(body: B, request: RequestBody) -> Self {
        Self { body, request }
    }
}

impl<B: MessageBody + Unpin> MessageBody for AnswerBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        // A stream without an end would otherwise wait for its next piece.
        if self.request.client.is_gone() && self.body.size() == BodySize::Stream {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_next(task)
    }
}

/// The request is answered, or given up.
impl Drop for RequestBody {
    fn drop(&mut self) {
        self.client.answered(self.is_complete());
    }
}
