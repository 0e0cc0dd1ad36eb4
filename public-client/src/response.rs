//! A response whose body is read under the request's deadline and up to a cap.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::header::{CONTENT_LENGTH, HeaderName};
use shared::net::failure::RequestFailure;
use shared::net::public_url::PublicUrl;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::exchange::Exchange;
use crate::failure::exchange_failure;

pub struct Response {
    url: PublicUrl,
    answer: Exchange,
    deadline: Instant,
    body_bytes: usize,
}

pub struct Body {
    pub bytes: Vec<u8>,
    pub end: BodyEnd,
}

/// Why reading ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEnd {
    Complete,
    /// The body is longer than the cap.
    Cut,
    Failed(RequestFailure),
}

impl Response {
    pub(crate) fn new(url: PublicUrl, answer: Exchange, deadline: Instant, body_bytes: usize) -> Self {
        Self { url, answer, deadline, body_bytes }
    }

    /// The URL that answered, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.url.url()
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.answer.response.status().as_u16()
    }

    /// The address that answered.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.answer.peer()
    }

    pub(crate) fn is_redirect(&self) -> bool {
        self.answer.response.status().is_redirection()
    }

    /// The header's value if it is text.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.answer.response.headers().get(name)?.to_str().ok()
    }

    /// The number of bytes that the server announces, if it does.
    #[must_use]
    pub fn announced_bytes(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH)?.parse().ok()
    }

    /// The same response, whose body is read for at most `time`, and not beyond the request's deadline.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        let deadline = self.deadline.min(Instant::now() + time);
        Self { deadline, ..self }
    }

    /// Reads the body for at most `time`, and not beyond the request's deadline.
    pub async fn read_for(self, time: Duration) -> Body {
        self.within(time).read().await
    }

    /// The next piece of the body; none at its end. The cap does not hold: the caller counts.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, RequestFailure> {
        loop {
            match timeout_at(self.deadline, self.answer.response.frame()).await {
                Err(_) => return Err(RequestFailure::Timeout),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(exchange_failure(&error)),
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing that is shown.
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// Reads the body until the request's deadline.
    pub async fn read(mut self) -> Body {
        let mut bytes = Vec::new();
        let end = loop {
            match self.next_piece().await {
                Err(failure) => break BodyEnd::Failed(failure),
                Ok(None) => break BodyEnd::Complete,
                Ok(Some(piece)) => {
                    let room = self.body_bytes - bytes.len();
                    bytes.extend_from_slice(&piece[..piece.len().min(room)]);
                    if piece.len() > room {
                        break BodyEnd::Cut;
                    }
                }
            }
        };
        if end == BodyEnd::Complete {
            self.answer.keep();
        }
        Body { bytes, end }
    }
}
