//! Documents as text.

pub(crate) mod csv;
pub(crate) mod encoding;

use std::fs::File;
use std::sync::Arc;

use uuid::Uuid;

use crate::sandbox::Sandbox;
use crate::tools::ToolError;
use crate::workspace::Workspace;

/// Reads documents in the sandbox.
pub(crate) struct Documents(Arc<Sandbox>);

/// A format that is read as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    Pdf,
    Xlsx,
    Docx,
    Pptx,
}

/// The text of a document.
pub(crate) struct DocumentText {
    pub(crate) text: String,
    /// For example "PDF, 12 pages".
    pub(crate) about: String,
}

impl DocumentKind {
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/pdf" => Some(Self::Pdf),
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => Some(Self::Xlsx),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => Some(Self::Docx),
            "application/vnd.openxmlformats-officedocument.presentationml.presentation" => Some(Self::Pptx),
            _ => None,
        }
    }
}

impl Documents {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self(sandbox)
    }

    pub(crate) async fn read(
        &self,
        _workspace: &Workspace,
        _id: Uuid,
        _file: File,
        _kind: DocumentKind,
    ) -> Result<DocumentText, ToolError> {
        let why = format!("This worker reads no documents ({}).", self.0.health().shown());
        std::future::ready(Err(ToolError::RespondToModel(why))).await
    }
}
