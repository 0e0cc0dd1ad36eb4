//! A response whose body is read under the request's deadline and up to a cap.

use std::net::IpAddr;

use reqwest::header::HeaderName;
use shared::net::failure::RequestFailure;
use shared::net::public_url::PublicUrl;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::failure::classify;

pub struct Response {
    url: PublicUrl,
    inner: reqwest::Response,
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
        inner: reqwest::Response,
        deadline: Instant,
        body_bytes: usize,
    ) -> Self {
        Self { url, inner, deadline, body_bytes }
    }

    /// The URL that answered, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.url.url()
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// The address that answered.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.inner.remote_addr().map(|address| address.ip())
    }

    pub(crate) fn is_redirect(&self) -> bool {
        self.inner.status().is_redirection()
    }

    /// The header's value if it is text.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    pub async fn read(mut self) -> Body {
        let mut bytes = Vec::new();
        let end = loop {
            match timeout_at(self.deadline, self.inner.chunk()).await {
                Err(_) => break BodyEnd::Failed(RequestFailure::Timeout),
                Ok(Err(error)) => break BodyEnd::Failed(classify(&error)),
                Ok(Ok(None)) => break BodyEnd::Complete,
                Ok(Ok(Some(chunk))) => {
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
