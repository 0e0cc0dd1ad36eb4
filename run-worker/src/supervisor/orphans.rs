//! The children of the supervisor: the worker, and what the worker's processes leave.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::Signal as Received;
use tokio::time::{Instant, timeout};

use super::code_of;
use crate::sandbox::{GONE_WITHIN, children};

/// The pause before the children are killed again. A killed process may leave new orphans.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits for every child that has ended. Returns the exit code of `worker` if it is one of them.
pub(super) fn wait_for_ended(worker: Pid) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == worker {
            code = code_of(status.as_raw());
        }
    }
    code
}

/// Kills all children and waits until none is left. Returns false if some still exist after the time that
/// processes of a sandbox may take to end. The first process of a sandbox can be waited for only after all
/// others in it are gone. So nothing of the worker's commands runs after this returned true.
pub(super) async fn end_all(ended: &mut Received) -> bool {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        if !has_children() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        // The kernel gives no other process the id of a child that was not waited for.
        for child in children(std::process::id()) {
            if let Some(child) = i32::try_from(child).ok().and_then(Pid::from_raw) {
                let _ = kill_process(child, Signal::KILL);
            }
        }
        let _ = timeout(PAUSE, ended.recv()).await;
    }
}

/// Waits for the children that have ended. Returns whether there are others.
fn has_children() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Err(Errno::CHILD) => return false,
            Ok(None) | Err(_) => return true,
        }
    }
}
