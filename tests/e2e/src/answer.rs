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
pub async fn patiently(mut call: impl AsyncFnMut() -> Answer) -> Answer {
    eventually("an answer other than 503", async || {
        let answer = call().await;
        (answer.status != 503).then_some(answer)
    })
    .await
}
