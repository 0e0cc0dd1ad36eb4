//! Forms with files, written by hand: what clients would not send is sent too.

use crate::answer::Answer;
use crate::process::Process;
use crate::stack::Stack;

/// Between the parts.
pub const BOUNDARY: &str = "----capi";

/// A part: what its Content-Disposition says beside form-data, and its bytes.
pub type Part<'a> = (&'a str, &'a [u8]);

/// The body.
#[must_use]
pub fn form(parts: &[Part]) -> Vec<u8> {
    let mut body = Vec::new();
    for (disposition, bytes) in parts {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        body.extend(head.into_bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    body
}

impl Stack {
    /// POSTs a form with the account's key, perhaps under an idempotency key.
    pub async fn post_form(
        &self,
        gateway: &Process,
        path: &str,
        once: Option<&str>,
        parts: &[Part<'_>],
    ) -> Answer {
        let mut request = self.client.post(format!("{}{path}", gateway.url())).bearer_auth(&self.key);
        if let Some(key) = once {
            request = request.header("idempotency-key", key);
        }
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send(request.header("content-type", kind).body(form(parts))).await
    }
}
