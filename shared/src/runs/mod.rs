//! The run: its status, its events, how it ends, and how it is shown.

mod cancel;
mod end_sql;
pub mod events;
mod expire;
mod fence;
mod finish;
mod outcome;
mod state;
mod state_machine;
mod usage;
mod view;

pub use cancel::{Cancelled, cancel};
pub use events::StoredError;
pub use expire::expire;
pub use fence::Fence;
pub use finish::{Finished, finish, finish_under};
pub use outcome::{RunEnd, RunError, RunResult, RunSource};
pub use state::{ErrorCode, RunStatus};
pub use state_machine::{TRANSITIONS, Transition};
pub use usage::{UsageDelta, contacted_hosts};
pub use view::{
    GivenFile, Pending, RunLinks, RunView, RunningCaps, ShownArtifact, ShownError, ShownResult, ShownSource,
    Source, Usage, UsedKey, Viewer, WORKERS_REPORT_WITHIN, Webhook, WebhookFailure, WebhookState, status,
};
