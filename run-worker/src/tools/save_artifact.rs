//! `save_artifact`: publishes a text, or a file of the run, as part of the result.
//!
//! The bytes are stored first, under the call's id. The row is written with the result, so every listed
//! artifact can be downloaded. A repeated call writes the same object.

use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::media_types;
use shared::runs::ErrorCode;
use shared::storage::{Artifacts, ObjectKey, StorageError, Uploaded};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::files::{message_of, on_disk, readable, workspace_of};
use super::{Files, Invocation, NewArtifact, Output, Spec, Tool, ToolError, arguments};

const MAX_TITLE_CHARS: usize = 255;
const MAX_TYPE_BYTES: usize = 255;

pub(super) struct SaveArtifact {
    spec: Spec,
    store: Artifacts,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// File name, for example report.md; the name of the file at `path` if absent
    #[schemars(length(min = 1, max = MAX_TITLE_CHARS))]
    title: Option<String>,
    /// Media type, for example text/markdown; detected if absent
    media_type: Option<String>,
    /// The whole text of the file
    content: Option<String>,
    /// A file relative to the workspace, for example chart.png
    path: Option<String>,
}

/// Bytes to publish.
struct Source {
    bytes: Box<dyn AsyncRead + Send + Unpin>,
    size: u64,
    /// The first bytes of a file; empty for text that the model gives.
    beginning: Vec<u8>,
    /// The name of the file.
    name: Option<String>,
}

impl SaveArtifact {
    pub(super) fn new(store: Artifacts) -> Self {
        let spec = Spec {
            name: "save_artifact",
            description: "Publishes a file as part of the result, for people or programs to download: a \
                          report, a table, a chart. Give either `path`, a file in the workspace, or \
                          `content`, its text. Each call makes a new file."
                .into(),
            parameters: arguments::schema::<Arguments>(),
            repeatable: true,
            files: Files::Reads,
            timeout: Duration::from_mins(1),
            max_result_bytes: 1000,
        };
        Self { spec, store }
    }

    async fn save(&self, mut invocation: Invocation) -> Result<Output, ToolError> {
        let Arguments { title, media_type, content, path } =
            arguments::read(std::mem::take(&mut invocation.arguments))?;
        let is_own_text = content.is_some();
        let source = match (path, content) {
            (Some(path), None) => of_file(&invocation, path).await?,
            (None, Some(content)) => of_text(content),
            _ => return refuse("Give either `path` or `content`."),
        };
        let title = title.or(source.name.clone()).unwrap_or_default().trim().to_owned();
        if title.is_empty() || title.chars().count() > MAX_TITLE_CHARS || title.chars().any(char::is_control)
        {
            return refuse(&format!(
                "The title must have 1 to {MAX_TITLE_CHARS} characters, none of them a control character."
            ));
        }
        let media_type = match media_type.map(|given| given.trim().to_ascii_lowercase()) {
            Some(given) if !is_media_type(&given) => {
                return refuse(&format!(
                    "{given:?} is not a media type; use one like text/markdown or text/csv."
                ));
            }
            given => type_of(given, &title, &source.beginning),
        };
        // Before the bytes are stored: calls of one step share what is left.
        let (size, take) = (source.size, |left: u64| left.checked_sub(source.size));
        if let Err(left) = invocation.output_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            return refuse(&format!(
                "The file has {size} bytes, but the run can publish only {left} more. Make it smaller."
            ));
        }
        let key = ObjectKey::artifact(invocation.run, invocation.id.into());
        let stored = match self.store(&key, source).await {
            Ok(stored) => stored,
            Err(error) => {
                invocation.output_left.fetch_add(size, Ordering::Relaxed);
                return Err(store_error(&error));
            }
        };
        let text =
            format!("Saved as {title:?} ({media_type}, {} bytes). It is part of the result.", stored.size);
        let media_type = if is_own_text { with_charset(media_type) } else { media_type };
        let artifact = NewArtifact { media_type, title, size: stored.size, sha256: stored.sha256 };
        Ok(Output { text, artifact: Some(artifact), ..Output::default() })
    }

    async fn store(&self, key: &ObjectKey, source: Source) -> Result<Uploaded, StorageError> {
        let mut upload = self.store.upload(key).await?;
        upload.write_from(source.bytes).await?;
        upload.finish().await
    }
}

/// A full store ends no run: the model may answer without the file.
fn store_error(error: &StorageError) -> ToolError {
    if matches!(error, StorageError::Full(_)) {
        metrics::counter!("capi_artifact_store_full_total").increment(1);
        tracing::error!(%error, "refused an artifact");
        let why = "The file was not saved: this installation has no space left for files. Give the result in \
                   your answer instead.";
        return ToolError::RespondToModel(why.to_owned());
    }
    metrics::counter!("capi_artifact_store_failures_total").increment(1);
    tracing::error!(%error, "failed to store an artifact");
    ToolError::Fatal(ErrorCode::ToolError, "the artifact store is not available".to_owned())
}

fn refuse<T>(why: &str) -> Result<T, ToolError> {
    Err(ToolError::RespondToModel(why.to_owned()))
}

fn of_text(content: String) -> Source {
    let size = content.len() as u64;
    Source {
        bytes: Box::new(std::io::Cursor::new(content.into_bytes())),
        size,
        beginning: Vec::new(),
        name: None,
    }
}

async fn of_file(invocation: &Invocation, path: String) -> Result<Source, ToolError> {
    let (workspace, target) = (workspace_of(invocation)?, readable(&path)?);
    on_disk(workspace.tasks().clone(), move || {
        let open = || {
            let (root, target) = workspace.open_root(target.clone())?;
            let mut beginning = Vec::new();
            root.read(&target)?.take(media_types::SNIFFED_BYTES as u64).read_to_end(&mut beginning)?;
            let file = root.read(&target)?;
            Ok((file.metadata()?.len(), beginning, file))
        };
        let (size, beginning, file) = open().map_err(|error| message_of(&path, &error))?;
        let name = std::path::Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned());
        // The file may grow meanwhile; only the size that was counted is read.
        let bytes = Box::new(tokio::fs::File::from_std(file).take(size));
        Ok(Source { bytes, size, beginning, name })
    })
    .await
}

/// The content of a binary file is more reliable than the type that the model gives.
fn type_of(given: Option<String>, title: &str, beginning: &[u8]) -> String {
    let binary = media_types::of_binary(title, beginning).map(str::to_owned);
    binary.or(given).unwrap_or_else(|| media_types::of_text(title, beginning).to_owned())
}

/// The type with the encoding that text of the model has. Without it, a browser guesses.
fn with_charset(media_type: String) -> String {
    let essence = media_type.split(';').next().unwrap_or_default().trim_end();
    let named = format!("{essence}; charset=utf-8");
    if media_types::is_text(essence) && named.len() <= MAX_TYPE_BYTES { named } else { media_type }
}

impl Tool for SaveArtifact {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.save(invocation).boxed()
    }
}

/// Whether the text is `type/subtype`, perhaps with parameters (RFC 9110, 8.3.1), in printable ASCII. It
/// becomes the value of a header.
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
    fn only_text_gets_a_charset() {
        for (given, named) in [
            ("text/csv", "text/csv; charset=utf-8"),
            ("text/html; charset=latin1", "text/html; charset=utf-8"),
            ("application/json", "application/json; charset=utf-8"),
            ("image/png", "image/png"),
        ] {
            assert_eq!(with_charset(given.to_owned()), named);
        }
    }

    #[test]
    fn media_types_are_recognized() {
        for good in ["text/csv", "text/plain; charset=utf-8", "application/vnd.api+json", "image/svg+xml"] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["csv", "text/", "/csv", "text/c sv", "text/csv\n", "text/csv; a=\u{e9}", "a/b/c", ""] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
