//! Forms with files, built as bytes, so that tests can also send forms that no client sends.

use shared::testing::eventually;
use uuid::Uuid;

use crate::address::Gateway;
use crate::answer::{Answer, patiently};
use crate::requests::id_of;
use crate::stack::Stack;

/// An app with an optional text and an optional file.
pub const TABLE_APP: &str = r#"
name = "Table"
prompt = "{{ text }} {{ table }}"
tools = ["shell", "read_file", "save_artifact"]
[[inputs]]
name = "text"
type = "text"
[[inputs]]
name = "table"
type = "file"
"#;

pub const BOUNDARY: &str = "----capi";

/// A part: the parameters of its Content-Disposition, and its bytes.
pub type Part<'a> = (&'a str, &'a [u8]);

/// The body of a form.
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
    /// POSTs a form with the account's key; `once` is an idempotency key.
    pub async fn post_form(
        &self,
        gateway: &impl Gateway,
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

    /// Creates a run with a form; its id. A create that a busy gateway refuses is sent again, with the same
    /// idempotency key.
    pub async fn create_run_by_form(&self, gateway: &impl Gateway, path: &str, parts: &[Part<'_>]) -> String {
        let once = Uuid::now_v7().to_string();
        id_of(&patiently(async || self.post_form(gateway, path, Some(once.as_str()), parts).await).await)
    }

    /// Files of inputs in the store, whichever run they are of.
    #[must_use]
    pub fn stored_inputs(&self) -> usize {
        let runs = std::fs::read_dir(self.artifacts_dir().join("runs")).into_iter().flatten().flatten();
        runs.map(|run| std::fs::read_dir(run.path().join("files")).map_or(0, Iterator::count)).sum()
    }

    /// Waits until the store holds this many files of inputs.
    pub async fn keeps_inputs(&self, kept: usize) {
        eventually("what was refused is deleted", async || (self.stored_inputs() == kept).then_some(()))
            .await;
    }
}
