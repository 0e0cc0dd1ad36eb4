//! What the API answered.

use serde_json::Value;

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: reqwest::header::HeaderMap,
    /// The body as JSON, null where it is none.
    pub body: Value,
}

impl Answer {
    /// The body but for what differs between any two answers.
    #[must_use]
    pub fn without_request_id(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(members) = body.as_object_mut() {
            members.remove("requestId");
        }
        body
    }
}
