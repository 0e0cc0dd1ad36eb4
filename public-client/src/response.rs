//! A response whose body is read under the request's deadline and up to a cap.

use std::net::IpAddr;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::header::HeaderName;
use shared::net::failure::RequestFailure;
use shared::net::public_url::PublicUrl;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::exchange::Exchange;
use crate::failure::exchange_failure;

pub struct Response {
    url: PublicUrl,
    peer: IpAddr,
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
    pub(crate) fn new(
        url: PublicUrl,
        peer: IpAddr,
        answer: Exchange,
        deadline: Instant,
        body_bytes: usize,
    ) -> Self {
        Self { url, peer, answer, deadline, body_bytes }
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
    pub const fn peer(&self) -> IpAddr {
        self.peer
    }

    pub(crate) fn is_redirect(&self) -> bool {
        self.answer.response.status().is_redirection()
    }

    /// The header's value if it is text.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.answer.response.headers().get(name)?.to_str().ok()
    }

    /// Reads the body for at most `time`, and not beyond the request's deadline.
    pub async fn read_for(self, time: Duration) -> Body {
        let deadline = self.deadline.min(Instant::now() + time);
        Self { deadline, ..self }.read().await
    }

    /// Reads the body until the request's deadline.
    pub async fn read(mut self) -> Body {
        let mut bytes = Vec::new();
        let end = loop {
            match timeout_at(self.deadline, self.answer.response.frame()).await {
                Err(_) => break BodyEnd::Failed(RequestFailure::Timeout),
                Ok(None) => break BodyEnd::Complete,
                Ok(Some(Err(error))) => break BodyEnd::Failed(exchange_failure(&error)),
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing that is shown.
                    let Ok(chunk) = frame.into_data() else { continue };
                    let room = self.body_bytes - bytes.len();
                    bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    if chunk.len() > room {
                        break BodyEnd::Cut;
                    }
                }
            }
        };
        Body { bytes, end }
    }
}
