//! The run: its status, its events, how it ends, and how it is shown.

mod cancel;
pub mod events;
mod expire;
mod fence;
mod finish;
mod outcome;
mod state;
mod state_machine;
mod usage;
mod view;
mod write_set;

pub use cancel::{Cancelled, cancel};
pub use events::StoredError;
pub use expire::{expire, expire_set};
pub use fence::Fence;
pub use finish::{End, Finished, Finishing, finish, finish_set};
pub use outcome::{RunEnd, RunError, RunResult, RunSource};
pub use state::{ErrorCode, RunStatus};
pub use state_machine::{TRANSITIONS, Transition};
pub use usage::{UsageDelta, contacted_hosts};
pub use view::{
    GivenFile, Pending, RunLinks, RunView, RunningCaps, ShownArtifact, ShownError, ShownResult, ShownSource,
    Source, Usage, UsedKey, Viewer, WORKERS_REPORT_WITHIN, Webhook, WebhookFailure, WebhookState, status,
};
pub use write_set::{WriteSet, bytes_about};
