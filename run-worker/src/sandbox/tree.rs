//! The processes of one sandbox, seen from outside: ended all at once, waited for, and what they hold added up. Their first process is the init
//! of their namespace: with it the kernel ends all others, and it is gone when they are.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Memory pages are 4 KiB where services run.
const PAGE: u64 = 4096;
/// Milliseconds of a tick, in which the kernel tells times: a hundred a second everywhere.
const TICK: u64 = 10;

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
    /// Bytes on disk of files without a name that are open, where they were looked for.
    pub(super) nameless: Option<u64>,
    /// Whether one of them is on a processor or waits for one.
    pub(super) wants_processor: bool,
    /// Processor time that they have used, and those that they waited for.
    pub(super) used: Duration,
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

/// The processes of the tree below `init`, and it.
pub(super) fn below(init: u32) -> Vec<u32> {
    // Each process has one parent; whoever is reparented meanwhile is found next time.
    let (mut found, mut next) = (vec![init], 0);
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// What these processes hold now; files, which take longest to look for, if they are asked for.
pub(super) fn held(processes: &[u32], with_files: bool) -> Held {
    let mut held = Held::default();
    for stat in processes.iter().filter_map(|pid| stat(*pid)) {
        held.memory += stat.resident;
        held.wants_processor |= stat.wants_processor;
        held.used += stat.used;
    }
    held.nameless = with_files.then(|| nameless(processes));
    held
}

fn nameless(processes: &[u32]) -> u64 {
    let directories = processes.iter().filter_map(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).ok());
    let open = directories.flatten().flatten().filter_map(|file| std::fs::metadata(file.path()).ok());
    let nameless = open.filter(|file| file.is_file() && file.nlink() == 0);
    let each_once: HashMap<_, _> =
        nameless.map(|file| ((file.dev(), file.ino()), file.blocks() * 512)).collect();
    each_once.values().sum()
}

/// Of one process with all its threads.
struct Stat {
    wants_processor: bool,
    used: Duration,
    resident: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): fields are counted from the one behind the name, which may hold anything.
fn parse(stat: &str) -> Option<Stat> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    Some(Stat {
        wants_processor: *fields.first()? == "R",
        used: Duration::from_millis(ticks.saturating_mul(TICK)),
        resident: number(21)? * PAGE,
    })
}

fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    children
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_of_a_process_is_read() {
        let told = "17 (a) R 1 (b) R 1 17 17 0 -1 4194560 95 3 0 0 200 30 4 1 20 0 1 0 77 2564096 250 18446744073709551615 1";
        let stat = parse(told).unwrap();
        assert_eq!(
            (stat.wants_processor, stat.used, stat.resident),
            (true, Duration::from_millis(2350), 1_024_000)
        );
        assert!(!parse(&told.replace(") R", ") S")).unwrap().wants_processor);
        assert!(parse("17 (a) R 1").is_none());
        assert!(super::stat(std::process::id()).unwrap().resident > 1 << 20, "this one's own");
    }
}
