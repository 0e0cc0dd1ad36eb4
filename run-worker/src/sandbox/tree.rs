//! The processes of one sandbox, seen from outside: found, ended all at once, waited for. Their first process is the init of their
//! namespace: with it the kernel ends all others, and it is gone when they are.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::processes::children;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    init: u32,
    handle: Arc<OwnedFd>,
}

impl Tree {
    /// Of the process that bwrap named.
    pub(super) fn of(init: u32) -> std::io::Result<Self> {
        let pid = i32::try_from(init).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| std::io::Error::other("bwrap named no process"))?;
        Ok(Self { init, handle: Arc::new(pidfd_open(pid, PidfdFlags::empty())?) })
    }

    /// All of them, the first at the front; none where it is gone.
    pub(super) fn members(&self) -> Vec<u32> {
        // Each process has one parent; whoever is reparented meanwhile is found next time.
        let (mut found, mut next) = (vec![self.init], 0);
        while let Some(pid) = found.get(next) {
            found.extend(children(*pid));
            next += 1;
        }
        // Numbers of the living only: a number that is free may be a stranger's.
        if self.is_gone() { Vec::new() } else { found }
    }

    fn is_gone(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let polled = retry_on_intr(|| poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&at_once)));
        polled != Ok(0)
    }

    /// Ends all of them; harmless where they are gone.
    pub(super) fn kill(&self) {
        // A killed process still needs a processor to exit. Only a worker that is root may give it back the usual priority.
        let _ = std::fs::write(format!("/proc/{}/autogroup", self.init), "0");
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// Until the last of them is gone, or so long.
    pub(super) async fn gone(&self, within: Duration) {
        let handle = Arc::clone(&self.handle);
        let waiting = tokio::task::spawn_blocking(move || {
            let within = Timespec::try_from(within).ok();
            retry_on_intr(|| poll(&mut [PollFd::new(&handle, PollFlags::IN)], within.as_ref()))
        });
        if !matches!(waiting.await, Ok(Ok(1))) {
            tracing::warn!(init = self.init, "a sandbox's first process is not gone");
        }
    }
}
