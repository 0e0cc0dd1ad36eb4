//! Sends one webhook request and turns the answer, or the failure, into an [`AttemptResult`].

use std::time::{Duration, Instant};

use public_client::header::{HeaderMap, RETRY_AFTER};
use public_client::{BodyEnd, CONNECT_TIMEOUT, Limits, PublicClient, Response};
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use shared::text::CleanText;

use crate::attempt::AttemptResult;

/// From connecting to the last byte of the answer.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read. A receiver may answer at length, so this is more than is stored.
const READ_BYTES: usize = 16 * 1024;
const STORED_BYTES: usize = 1024;

pub struct WebhookClient {
    http: PublicClient,
    total_timeout: Duration,
}

impl WebhookClient {
    pub fn new(policy: IpPolicy, total_timeout: Duration) -> anyhow::Result<Self> {
        let limits = Limits { connect: CONNECT_TIMEOUT, total: total_timeout, body_bytes: READ_BYTES };
        let user_agent = concat!("capi-webhooks/", env!("CARGO_PKG_VERSION"));
        Ok(Self { http: PublicClient::new(user_agent, policy, limits)?, total_timeout })
    }

    /// The longest time of one [`Self::post`].
    #[must_use]
    pub const fn total_timeout(&self) -> Duration {
        self.total_timeout
    }

    pub async fn post(&self, url: &str, headers: HeaderMap, body: Vec<u8>) -> AttemptResult {
        let started = Instant::now();
        let result = match self.http.post(url, headers, body).await {
            Ok(response) => read(response).await,
            Err(failure) => failed(&failure),
        };
        AttemptResult { duration: started.elapsed(), ..result }
    }
}

async fn read(response: Response) -> AttemptResult {
    let status = response.status();
    let retry_after = response.header(RETRY_AFTER).and_then(|value| value.trim().parse().ok());
    let body = response.read().await;
    let result = match (status, body.end) {
        // A 2xx counts only if the whole answer arrives in time. A body that breaks off changes nothing.
        (200..=299, BodyEnd::Failed(timeout @ RequestFailure::Timeout)) => failed(&timeout),
        (200..=299, _) => AttemptResult::default(),
        (300..=399, _) => {
            AttemptResult::failed("The receiver redirects. capi does not follow; give the final URL.")
        }
        _ => AttemptResult::failed(&format!("The receiver answered {status}.")),
    };
    AttemptResult {
        status_code: Some(status),
        response_body: Some(CleanText::from_bytes(&body.bytes, STORED_BYTES)),
        retry_after,
        ..result
    }
}

fn failed(failure: &RequestFailure) -> AttemptResult {
    AttemptResult { reason: Some(failure.code()), ..AttemptResult::failed(&failure.to_string()) }
}
