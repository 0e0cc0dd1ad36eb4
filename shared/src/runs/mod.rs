//! The run: its states, how it ends, and how it is shown.

mod moves;
mod outcome;
mod state;
mod transition;
mod usage;
mod view;

pub use moves::{Cause, MOVES};
pub use outcome::{Ended, RunError, RunResult};
pub use state::{ErrorCode, RunStatus};
pub use transition::{Cancelled, Finished, cancel, expire, finish};
pub use usage::UsageDelta;
pub use view::{RunView, RunningCaps, Viewer, WORKERS_REPORT_WITHIN, format_time, status};
