//! The processes of one sandbox, seen from outside. The first of them is the init of their pid namespace: if
//! it is killed, the kernel kills all others, and it is gone only after them.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::processes::children;

#[derive(Debug, Clone)]
pub(super) struct ProcessTree {
    /// Its id outside.
    init: u32,
    handle: Arc<OwnedFd>,
}

impl ProcessTree {
    pub(super) fn of(init: u32) -> std::io::Result<Self> {
        let pid = i32::try_from(init).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| std::io::Error::other("bwrap named no process"))?;
        Ok(Self { init, handle: Arc::new(pidfd_open(pid, PidfdFlags::empty())?) })
    }

    /// The ids of all processes, or none if the first is gone.
    pub(super) fn members(&self) -> Vec<u32> {
        // Each process has one parent. This may miss a process that gets a new parent meanwhile; the next
        // call finds it.
        let (mut found, mut next) = (vec![self.init], 0);
        while let Some(pid) = found.get(next) {
            found.extend(children(*pid));
            next += 1;
        }
        // If the first process is gone, the kernel may have given the ids to other processes.
        if self.is_gone() { Vec::new() } else { found }
    }

    pub(super) fn is_gone(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let polled = retry_on_intr(|| poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&at_once)));
        polled != Ok(0)
    }

    /// Kills all processes; harmless if they are gone.
    pub(super) fn kill(&self) {
        // A killed process still needs a processor to exit. Only a worker that is root may raise its priority
        // again.
        let _ = std::fs::write(format!("/proc/{}/autogroup", self.init), "0");
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    pub(super) async fn wait_until_gone(&self, at_most: Duration) {
        let handle = Arc::clone(&self.handle);
        let waiting = tokio::task::spawn_blocking(move || {
            let at_most = Timespec::try_from(at_most).ok();
            retry_on_intr(|| poll(&mut [PollFd::new(&handle, PollFlags::IN)], at_most.as_ref()))
        });
        if !matches!(waiting.await, Ok(Ok(1))) {
            tracing::warn!(init = self.init, "the first process of a sandbox still exists after SIGKILL");
        }
    }
}
