//! The processes of one sandbox, seen from outside: ended all at once, and their memory added up. Their first process is the init of
//! their namespace: with it the kernel ends all others.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Memory pages are 4 KiB where services run.
const PAGE: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Tree {
    init: u32,
    handle: OwnedFd,
}

impl Tree {
    /// Of the process that bwrap named.
    pub(super) fn of(init: u32) -> std::io::Result<Self> {
        let pid = i32::try_from(init).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| std::io::Error::other("bwrap named no process"))?;
        Ok(Self { init, handle: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Ends all of them; harmless where they are gone.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// Bytes in memory, those that several of them share counted for each.
    pub(super) fn memory(&self) -> u64 {
        let (mut sum, mut open) = (0, vec![self.init]);
        // Each process has one parent; whoever is reparented meanwhile is counted next time.
        while let Some(pid) = open.pop() {
            sum += resident(pid).unwrap_or(0);
            open.extend(children(pid));
        }
        sum * PAGE
    }
}

fn resident(pid: u32) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split(' ').nth(1)?.parse().ok()
}

fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    children
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
