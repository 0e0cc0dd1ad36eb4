//! The files that events name: pictures, snapshots and artifacts.

use serde::{Deserialize, Serialize};

use crate::ids::{ArtifactId, FileId};

/// An input file of the run that the model is shown as a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedPicture {
    pub file: FileId,
    /// The file's name under `inputs/`.
    pub name: String,
    /// The file's type. The model may be sent the picture in another one.
    #[serde(rename = "type")]
    pub media_type: String,
}

/// A picture that a tool showed to the model. The store has it as the model was sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPicture {
    /// The path of the file that the tool read.
    pub name: String,
    #[serde(rename = "type")]
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// Hexadecimal digits. They name the object.
    pub sha256: String,
}

/// A snapshot of the workspace in the store: a manifest, which names packs with the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSnapshot {
    pub key: String,
    /// Hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// [`MANIFEST`]. Absent for one tar archive in zstd, as versions before manifests wrote it. A version
    /// that does not know manifests fails to unpack one, so the run ends with `sandbox_error`; it never
    /// continues with wrong files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// The format of snapshots that are manifests.
pub const MANIFEST: &str = "manifest1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedArtifact {
    pub id: ArtifactId,
    #[serde(rename = "type")]
    pub media_type: String,
    pub title: String,
    /// In bytes.
    pub size: u64,
    /// Hexadecimal digits.
    pub sha256: String,
}
