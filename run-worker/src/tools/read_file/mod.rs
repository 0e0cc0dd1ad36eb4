//! `read_file`: shows a file of the workspace, or one of the caller's files. Text is shown line by line, a
//! large table by its head, a document as text, and a picture as a picture.

mod lines;
mod picture;
mod text;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::media_types;
use shared::storage::Artifacts;

use super::files::{not_opened, on_disk, readable, workspace_of};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::documents::{DocumentKind, DocumentText, Documents};
use crate::pictures::Pictures;
use crate::workspace::Workspace;
use lines::{DEFAULT_LINES, Lines, MAX_SHOWN_BYTES, Wanted};

/// Bytes of notes beside the shown text.
const MAX_NOTES_BYTES: usize = 1000;
/// A document or a large picture may wait for its turn on a busy worker.
const TIMEOUT: Duration = Duration::from_mins(5);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Relative to the workspace, for example inputs/data.csv
    path: String,
    /// The first line, counted from 1; 1 if absent
    #[schemars(range(min = 1))]
    from_line: Option<usize>,
    /// How many lines; 1000 if absent
    #[schemars(range(min = 1))]
    lines: Option<usize>,
    /// Characters of the first line to skip, to read on in a long line; 0 if absent
    offset: Option<usize>,
}

impl Arguments {
    fn wanted(&self) -> Wanted {
        Wanted {
            from: self.from_line.unwrap_or(1).max(1),
            lines: self.lines.unwrap_or(DEFAULT_LINES),
            offset: self.offset.unwrap_or(0),
        }
    }

    /// Whether the model asks for the file and not for a part of it.
    const fn is_whole(&self) -> bool {
        self.from_line.is_none() && self.lines.is_none() && self.offset.is_none()
    }
}

pub(super) struct ReadFile {
    spec: Spec,
    documents: Arc<Documents>,
    pictures: Arc<Pictures>,
    store: Artifacts,
}

/// A file, open at its beginning.
struct Opened {
    file: File,
    size: u64,
    media_type: &'static str,
    kind: Kind,
}

enum Kind {
    Text,
    Picture,
    Document(DocumentKind),
    /// It may be text in UTF-16 without a mark.
    Binary,
}

impl ReadFile {
    pub(super) fn new(documents: Arc<Documents>, pictures: Arc<Pictures>, store: Artifacts) -> Self {
        let spec = Spec {
            name: "read_file",
            description:
                "Shows a file of the workspace or of inputs/ (the caller's files): lines of a text in \
                          any encoding, the head of a large table, the text of a PDF, XLSX, DOCX or PPTX. A \
                          PNG, JPEG, WebP or GIF is shown as a picture if you can see pictures."
                    .into(),
            parameters: arguments::schema::<Arguments>(),
            repeatable: true,
            files: Files::Reads,
            timeout: TIMEOUT,
            max_result_bytes: MAX_SHOWN_BYTES + MAX_NOTES_BYTES,
        };
        Self { spec, documents, pictures, store }
    }

    async fn read(&self, mut invocation: Invocation) -> Result<Output, ToolError> {
        let workspace = workspace_of(&invocation)?;
        let arguments: Arguments = arguments::read(std::mem::take(&mut invocation.arguments))?;
        let (tasks, path) = (workspace.tasks().clone(), arguments.path.clone());
        let opening = workspace.clone();
        let opened = on_disk(tasks.clone(), move || open(&opening, &path)).await?;
        let text = match opened.kind {
            Kind::Picture => return self.show(&invocation, &workspace, &arguments.path, opened).await,
            Kind::Document(kind) => {
                let document = self.documents.read(&workspace, invocation.id, opened.file, kind).await?;
                of_document(&document, arguments.wanted())
            }
            Kind::Text | Kind::Binary => on_disk(tasks, move || text::read(opened, &arguments)).await?,
        };
        Ok(Output::of_text(text))
    }
}

impl Tool for ReadFile {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.read(invocation).boxed()
    }
}

fn open(workspace: &Workspace, path: &str) -> Result<Opened, ToolError> {
    let target = readable(path)?;
    let open = || -> io::Result<Opened> {
        let (root, target) = workspace.open_root(target)?;
        let mut file = root.read(&target)?;
        let mut beginning = Vec::new();
        Read::by_ref(&mut file).take(media_types::SNIFFED_BYTES as u64).read_to_end(&mut beginning)?;
        file.rewind()?;
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let media_type = media_types::of_file(&name, &beginning);
        let size = file.metadata()?.len();
        Ok(Opened { file, size, media_type, kind: kind_of(media_type, &beginning) })
    };
    open().map_err(|error| not_opened(workspace, path, &error))
}

fn kind_of(media_type: &str, beginning: &[u8]) -> Kind {
    let of_content = || media_types::of_content(beginning).and_then(DocumentKind::of);
    if media_types::is_picture(media_type) {
        Kind::Picture
    } else if media_types::begins_text(beginning) {
        Kind::Text
    } else if let Some(kind) = DocumentKind::of(media_type).or_else(of_content) {
        // A document with macros has a type of its own and the content of an ordinary one.
        Kind::Document(kind)
    } else {
        Kind::Binary
    }
}

fn of_document(document: &DocumentText, wanted: Wanted) -> String {
    let mut lines = Lines::new(wanted);
    lines.add(&document.text);
    format!("[{}]\n{}", document.about, lines.finish(&[]))
}

pub(super) fn too_large(path: &str, size: u64, max: u64) -> ToolError {
    let why = format!("{path:?} has {size} bytes; this tool takes at most {max}. Use a program.");
    ToolError::RespondToModel(why)
}

fn not_text(path: &str, media_type: &str, size: u64) -> ToolError {
    ToolError::RespondToModel(format!("{path:?} is no text ({media_type}, {size} bytes). Use a program."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_decides_how_a_file_is_shown() {
        let xlsx = [&b"PK\x03\x04\x14\0"[..], &[0; 24], b"xl/workbook.xml", &[0; 8]].concat();
        for (name, beginning, expected) in [
            ("a.csv", &b"BMI,weight"[..], "text"),
            ("a.svg", b"<svg/>", "text"),
            ("a", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "picture"),
            ("a.pdf", b"%PDF-1.7\n", "document"),
            ("a.xlsm", &xlsx, "document"),
            ("a.bmp", b"BM\x46\0\0\0\0\0\0\0", "binary"),
            ("a.zip", b"PK\x03\x04\x14\0\0\0", "binary"),
        ] {
            let kind = match kind_of(media_types::of_file(name, beginning), beginning) {
                Kind::Text => "text",
                Kind::Picture => "picture",
                Kind::Document(_) => "document",
                Kind::Binary => "binary",
            };
            assert_eq!(kind, expected, "{name}");
        }
    }
}
