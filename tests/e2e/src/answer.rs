//! Answers of the API.

use serde_json::Value;
use shared::testing::eventually;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    /// The body, or null if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The body without the request id, which is another one in each answer.
    #[must_use]
    pub fn without_request_id(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(members) = body.as_object_mut() {
            members.remove("requestId");
        }
        body
    }
}

/// Repeats a call that is answered 503: a busy machine may be slower than a gateway waits. It must be a call
/// that may be sent twice.
pub async fn patiently(call: impl AsyncFnMut() -> Answer) -> Answer {
    repeated_while(&[503], call).await
}

/// Repeats a call while the status of its answer is one of these.
pub async fn repeated_while(statuses: &[u16], mut call: impl AsyncFnMut() -> Answer) -> Answer {
    eventually(&format!("an answer other than {statuses:?}"), async || {
        Some(call().await).filter(|answer| !statuses.contains(&answer.status))
    })
    .await
}
