//! The run: its states, how it ends, and how it is shown.

mod state;
mod transition;
mod view;

pub use state::{ErrorCode, RunStatus};
pub use transition::{finish, Ended, Finished, RunError, RunResult, UsageDelta};
pub use view::{format_time, load, RunView, RunningCaps};
