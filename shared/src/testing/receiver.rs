//! A webhook receiver that keeps what it received.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use http_body_util::BodyExt;
use serde_json::Value;

use super::http::{respond, serve};

#[derive(Debug, Clone)]
pub struct ReceivedWebhook {
    /// The names are in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl ReceivedWebhook {
    /// The body as JSON, or null.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Clone)]
pub struct WebhookReceiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<ReceivedWebhook>>>,
}

impl WebhookReceiver {
    /// Starts a receiver that answers its first requests with `statuses` and all later ones with 204.
    pub async fn start(statuses: impl IntoIterator<Item = u16>) -> Self {
        Self::saying(statuses, b"").await
    }

    /// The same with a body in each answer.
    pub async fn saying(statuses: impl IntoIterator<Item = u16>, says: &'static [u8]) -> Self {
        Self::answering(statuses, says, Duration::ZERO).await
    }

    /// Starts a receiver that answers each request with 204 after this time.
    pub async fn slow(after: Duration) -> Self {
        Self::answering([], b"", after).await
    }

    async fn answering(
        statuses: impl IntoIterator<Item = u16>,
        says: &'static [u8],
        after: Duration,
    ) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let statuses = Arc::new(Mutex::new(statuses.into_iter().collect::<VecDeque<_>>()));
        let noted = Arc::clone(&received);
        let address = serve(move |request| {
            let (noted, statuses) = (Arc::clone(&noted), Arc::clone(&statuses));
            async move {
                let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
                let headers =
                    request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
                let body = request
                    .into_body()
                    .collect()
                    .await
                    .map(|body| body.to_bytes().to_vec())
                    .unwrap_or_default();
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(ReceivedWebhook { headers, body });
                if !after.is_zero() {
                    tokio::time::sleep(after).await;
                }
                let status =
                    statuses.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(204);
                respond(status, "text/plain", stream::iter([says]).boxed())
            }
        })
        .await;
        Self { address, received }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The number of requests so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The requests so far.
    #[must_use]
    pub fn received(&self) -> Vec<ReceivedWebhook> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
