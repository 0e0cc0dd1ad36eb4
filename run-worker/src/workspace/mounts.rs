//! The directories of a run that its commands see.

use std::path::PathBuf;

/// Where a command sees the workspace.
pub const INSIDE: &str = "/workspace";

/// The directories of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounts {
    /// Writable.
    pub workspace: PathBuf,
    /// The caller's files. Read-only.
    pub inputs: PathBuf,
}
