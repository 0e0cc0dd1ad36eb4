//! The run: its states, how it ends, and how it is shown.

mod state;
mod transition;
mod view;

pub use state::{ErrorCode, RunStatus};
pub use transition::{Ended, Finished, RunError, RunResult, UsageDelta, finish};
pub use view::{RunView, RunningCaps, format_time, load};
