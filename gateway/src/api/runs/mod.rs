//! The run endpoints, one a file.

pub(super) mod cancel;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod events;
pub(super) mod get;
pub(super) mod list;

/// Seconds after which a client should ask again for a run that is not over.
const RETRY_AFTER_SECONDS: &str = "2";
