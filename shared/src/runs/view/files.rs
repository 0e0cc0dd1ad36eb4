//! The files of a run as the contract shows them: those that the client sent, and those that it published.

use serde::{Deserialize, Serialize};
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use crate::ids::ArtifactId;
use crate::time::Time;

/// A file that the client sent with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct GivenFile {
    /// Its name under `inputs/`: the given name, made safe.
    pub name: String,
    /// The form part that it came in: the name of an input, or `files`. Null for older runs.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub part: Option<String>,
    /// The media type that the bytes or the name show.
    pub r#type: String,
    /// In bytes.
    pub size: i64,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// A file that a run published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema), schema(as = Artifact))]
#[serde(rename_all = "camelCase")]
pub struct ShownArtifact {
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: ArtifactId,
    /// Its media type.
    pub r#type: String,
    /// The same as `title`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub name: String,
    /// The name of the file.
    pub title: String,
    /// In bytes.
    pub size: i64,
    /// In hexadecimal digits.
    pub sha256: String,
    /// Needs the key.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub url: String,
    /// Needs no key until it expires.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub download_url: String,
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub download_url_expires_at: Time,
}
