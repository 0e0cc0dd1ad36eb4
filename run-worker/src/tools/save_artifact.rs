//! `save_artifact`: publishes a text, or a file of the run, as part of the result.
//!
//! The bytes are stored first, under the call's id. The row is written with the result, so every listed
//! artifact can be downloaded. A repeated call writes the same object.

use std::io::{self, ErrorKind, Read};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::media_types::{self, MAX_TYPE_BYTES, is_media_type};
use shared::runs::ErrorCode;
use shared::storage::{Artifacts, ObjectKey, StorageError, Uploaded};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::files::{not_opened, on_disk, readable, workspace_of};
use super::{Files, Invocation, NewArtifact, Output, Spec, Tool, ToolError, arguments};

const MAX_TITLE_CHARS: usize = 255;

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
    /// Media type, for example text/markdown; from the name and the content if absent
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
    /// The first bytes.
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
            (Some(_), Some(_)) => return refuse("Give either `path` or `content`, not both."),
            (None, None) => {
                return refuse("Give `path`, a file of the workspace, or `content`, the text of the file.");
            }
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
            Some(given) => given,
            None => type_of(&title, &source).to_owned(),
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
        Ok(Output { artifact: Some(artifact), ..Output::of_text(text) })
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
    let (size, content) = (content.len() as u64, content.into_bytes());
    let beginning = content[..content.len().min(media_types::SNIFFED_BYTES)].to_vec();
    Source { bytes: Box::new(std::io::Cursor::new(content)), size, beginning, name: None }
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
        let (size, beginning, file) = open().map_err(|error: io::Error| match error.kind() {
            ErrorKind::IsADirectory => ToolError::RespondToModel(format!(
                "{path:?} is a directory. Save its files one by one, or make one file of it with a program, \
                 for example a ZIP archive."
            )),
            _ => not_opened(&workspace, &path, &error),
        })?;
        let name = std::path::Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned());
        // The file may grow meanwhile; only the size that was counted is read.
        let bytes = Box::new(tokio::fs::File::from_std(file).take(size));
        Ok(Source { bytes, size, beginning, name })
    })
    .await
}

/// The type of a file without a given one. A title such as "Report" says less than the name of the file.
fn type_of(title: &str, source: &Source) -> &'static str {
    let name = source.name.as_deref().filter(|_| !media_types::is_known_name(title)).unwrap_or(title);
    media_types::of_file(name, &source.beginning)
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
    fn the_title_then_the_name_then_the_content_give_the_type() {
        let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        let of_name = |name: &str, beginning: &[u8]| Source {
            bytes: Box::new(tokio::io::empty()),
            size: 0,
            beginning: beginning.to_vec(),
            name: Some(name.to_owned()),
        };
        for (title, source, expected) in [
            ("Report", of_name("out.docx", b"PK\x03\x04\0\0"), docx),
            ("Report v1.2", of_name("out.csv", b"BMI,weight"), "text/csv"),
            ("data.csv", of_name("data.txt", b"a,b"), "text/csv"),
            ("chart", of_name("chart", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "image/png"),
            ("chart.png", of_text("no picture".to_owned()), "text/plain"),
            ("page", of_text("<!DOCTYPE html><p>".to_owned()), "text/html"),
        ] {
            assert_eq!(type_of(title, &source), expected, "{title}");
        }
    }
}
