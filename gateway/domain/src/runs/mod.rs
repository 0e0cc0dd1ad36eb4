//! Runs: created, found, watched, cancelled, deleted, and failed when no worker starts them in time.
//!
//! Read `create` (the use case) first, then `insert` (its statement).

mod admit;
pub mod cancel;
pub mod create;
pub mod delete;
pub mod events;
mod file_name;
pub mod filters;
pub mod follow;
pub mod get;
pub mod idempotency;
pub mod insert;
pub mod list;
pub mod open_waits;
pub mod queue_timeout;
mod reasoning;
pub mod request;
pub mod uploads;
mod validate;
pub mod wait;
pub mod watch;

pub use admit::{Earlier, admit};
pub use create::{Create, Created, DryRun, Intake, dry_run};
pub use filters::Filters;
pub use follow::{Follow, Followed};
pub use idempotency::IdempotencyKey;
pub use insert::{Accepting, WAITING_CREATES};
pub use reasoning::reasoning_text;
pub use request::{CreateRequest, DEFAULT_QUEUE_TIMEOUT, FIELDS};
pub use uploads::{GivenFile, Uploads};
pub use watch::RunWatchers;

use shared::ids::{AppId, RunId};

/// The multipart form part for files that no input of the app names.
pub const FILES_PART: &str = "files";

/// A run that a request names, and the one app it must belong to: the app in the path, or the app of a scoped
/// key.
#[derive(Debug, Clone, Copy)]
pub struct RunRef {
    pub run: RunId,
    pub app: Option<AppId>,
}

impl RunRef {
    /// A run of any app.
    #[must_use]
    pub const fn of_any_app(run: RunId) -> Self {
        Self { run, app: None }
    }

    #[must_use]
    pub fn includes(&self, app: AppId) -> bool {
        self.app.is_none_or(|only| only == app)
    }
}
