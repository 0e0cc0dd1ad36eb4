//! The processes of one sandbox, seen from outside: ended all at once, waited for, and what they hold added up. Their first process is the init
//! of their namespace: with it the kernel ends all others, and it is gone when they are.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Memory pages are 4 KiB where services run.
const PAGE: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Tree {
    init: u32,
    handle: Arc<OwnedFd>,
}

/// What the processes hold that no directory shows.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Held {
    /// Bytes in memory, those that several of them share counted for each.
    pub(super) memory: u64,
    /// Bytes on disk of files without a name that are open.
    pub(super) nameless: u64,
}

impl Tree {
    /// Of the process that bwrap named.
    pub(super) fn of(init: u32) -> std::io::Result<Self> {
        let pid = i32::try_from(init).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| std::io::Error::other("bwrap named no process"))?;
        Ok(Self { init, handle: Arc::new(pidfd_open(pid, PidfdFlags::empty())?) })
    }

    /// Its first process, outside.
    pub(super) const fn init(&self) -> u32 {
        self.init
    }

    /// Ends all of them; harmless where they are gone.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// Until the last of them is gone, or so long.
    pub(super) async fn gone(&self, within: Duration) {
        let handle = Arc::clone(&self.handle);
        let waiting = tokio::task::spawn_blocking(move || {
            let within = Timespec::try_from(within).ok();
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], within.as_ref())
        });
        if !matches!(waiting.await, Ok(Ok(1))) {
            tracing::warn!(init = self.init, "a sandbox's first process is not gone");
        }
    }
}

/// Whether the kernel tells which processes are whose.
pub(super) fn can_be_seen() -> bool {
    std::path::Path::new("/proc/thread-self/children").exists()
}

/// What the tree below `init` holds now.
pub(super) fn held(init: u32) -> Held {
    let (mut held, mut open, mut files) = (Held::default(), vec![init], HashSet::new());
    // Each process has one parent; whoever is reparented meanwhile is counted next time.
    while let Some(pid) = open.pop() {
        held.memory += resident(pid).unwrap_or(0) * PAGE;
        for descriptor in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(file) = std::fs::metadata(descriptor.path()) else { continue };
            if file.is_file() && file.nlink() == 0 && files.insert((file.dev(), file.ino())) {
                held.nameless += file.blocks() * 512;
            }
        }
        open.extend(children(pid));
    }
    held
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
