//! `save_artifact`: publishes a text as a file of the run. The bytes go to the store under the call's id first; the row comes with the
//! result, so that nothing is listed that cannot be downloaded. Made again, a call writes the same object.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use shared::storage::Artifacts;

use super::{Invocation, NewArtifact, Output, Spec, Tool, ToolError, arguments};

const MAX_TITLE_CHARS: usize = 255;
const MAX_TYPE_BYTES: usize = 255;

pub(super) struct SaveArtifact {
    spec: Spec,
    store: Artifacts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    title: String,
    media_type: String,
    content: String,
}

impl SaveArtifact {
    pub(super) fn new(store: Artifacts) -> Self {
        let spec = Spec {
            name: "save_artifact",
            description: "Publishes a text file as part of the result, for people or programs to download: a report, a table as CSV, \
                          a document. Each call makes a new file.",
            parameters: json!({
                "type": "object",
                "properties": {
                    "title": {"type": "string", "minLength": 1, "maxLength": MAX_TITLE_CHARS, "description": "File name, for example report.md"},
                    "media_type": {"type": "string", "description": "Media type, for example text/markdown"},
                    "content": {"type": "string", "description": "The whole text of the file"},
                },
                "required": ["title", "media_type", "content"],
                "additionalProperties": false,
            }),
            repeatable: true,
            timeout: Duration::from_secs(30),
            max_result_bytes: 1000,
        };
        Self { spec, store }
    }

    async fn save(&self, invocation: Invocation) -> Result<Output, ToolError> {
        let Arguments { title, media_type, content } = arguments::read(invocation.arguments)?;
        let title = title.trim().to_owned();
        if title.is_empty() || title.chars().count() > MAX_TITLE_CHARS || title.chars().any(char::is_control)
        {
            let why = format!(
                "The title must have 1 to {MAX_TITLE_CHARS} characters, none of them a control character."
            );
            return Err(ToolError::RespondToModel(why));
        }
        let media_type = media_type.trim().to_ascii_lowercase();
        if !is_media_type(&media_type) {
            let why = format!("{media_type:?} is no media type; give one like text/markdown or text/csv.");
            return Err(ToolError::RespondToModel(why));
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.as_bytes());
        let sha256 = hex(digest.as_ref());
        let size = content.len();
        self.store.put(invocation.run, invocation.id.into(), Bytes::from(content)).await.map_err(
            |error| {
                metrics::counter!("capi_artifact_store_failures_total").increment(1);
                tracing::error!(%error, run_id = %invocation.run, "an artifact cannot be stored");
                ToolError::Fatal("the artifact store is not available".to_owned())
            },
        )?;
        let text = format!("Saved as {title:?} ({size} bytes). It is part of the result.");
        Ok(Output { text, artifact: Some(NewArtifact { media_type, title, size, sha256 }) })
    }
}

impl Tool for SaveArtifact {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.save(invocation).boxed()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// `type/subtype`, perhaps with parameters (RFC 9110, 8.3.1), in printable ASCII: it becomes a header.
fn is_media_type(text: &str) -> bool {
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let whole = kind
        .trim_end_matches(' ')
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    whole
        && text.len() <= MAX_TYPE_BYTES
        && parameters.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_from_other_text() {
        for good in ["text/csv", "text/plain; charset=utf-8", "application/vnd.api+json", "image/svg+xml"] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["csv", "text/", "/csv", "text/c sv", "text/csv\n", "text/csv; a=\u{e9}", "a/b/c", ""] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
