//! What the kernel tells of processes (proc(5)). They may choose their names, and end their first thread, which is then told of as a process
//! that is over though others live.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Memory pages are 4 KiB where services run.
const PAGE: u64 = 4096;
/// Milliseconds of a tick, in which the kernel tells times: a hundred a second everywhere.
const TICK: u64 = 10;

/// What several of them have and want together.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Held {
    /// Bytes in memory, those that several of them share counted for each.
    pub(super) memory: u64,
    /// Whether a thread of them is on a processor or waits for one.
    pub(super) wants_processor: bool,
    /// Processor time that they have used, and those that they waited for.
    pub(super) used: Duration,
}

/// Whether the kernel tells which processes are whose.
pub(super) fn can_be_seen() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

/// What these have now.
pub(super) fn held(processes: &[u32]) -> Held {
    let mut held = Held::default();
    let all = processes.iter().filter_map(|pid| Some((pid, stat(*pid)?)));
    for (pid, stat) in all.filter(|(_, stat)| stat.is_alive()) {
        // State and memory are those of the first thread, which tells enough where it runs; the times are those of all.
        let threads = if stat.threads > 1 && stat.state != "R" { threads(*pid) } else { Vec::new() };
        let threads: Vec<_> = threads.iter().filter_map(|thread| read(&thread.join("stat"))).collect();
        held.memory += threads.iter().map(|thread| thread.resident).fold(stat.resident, u64::max);
        held.wants_processor |= stat.state == "R" || threads.iter().any(|thread| thread.state == "R");
        held.used += stat.used;
    }
    held
}

fn threads(pid: u32) -> Vec<PathBuf> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path()).collect()
}

/// Bytes on disk of files without a name that these have open. Slow: each open file is looked at.
pub(super) fn nameless(processes: &[u32]) -> u64 {
    // A thread may have descriptors of its own.
    let threads = processes.iter().flat_map(|pid| threads(*pid));
    let directories = threads.filter_map(|thread| std::fs::read_dir(thread.join("fd")).ok());
    let open = directories.flatten().flatten().filter_map(|file| std::fs::metadata(file.path()).ok());
    let nameless = open.filter(|file| file.is_file() && file.nlink() == 0);
    let each_once: HashMap<_, _> =
        nameless.map(|file| ((file.dev(), file.ino()), file.blocks() * 512)).collect();
    each_once.values().sum()
}

/// Those that this one has, which may be over but not waited for.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let children =
        threads(pid).into_iter().filter_map(|thread| std::fs::read_to_string(thread.join("children")).ok());
    children
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Whether it is there and not over.
pub(super) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.is_alive())
}

/// Of one process, or of one thread.
struct Stat {
    state: String,
    threads: u64,
    used: Duration,
    resident: u64,
}

impl Stat {
    fn is_alive(&self) -> bool {
        self.threads > 1 || !matches!(&*self.state, "Z" | "X")
    }
}

fn stat(pid: u32) -> Option<Stat> {
    read(Path::new(&format!("/proc/{pid}/stat")))
}

fn read(stat: &Path) -> Option<Stat> {
    // A name need not be text.
    parse(&String::from_utf8_lossy(&std::fs::read(stat).ok()?))
}

/// Fields are counted from the one behind the name, which may hold anything.
fn parse(stat: &str) -> Option<Stat> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    Some(Stat {
        state: (*fields.first()?).to_owned(),
        threads: number(17)?,
        used: Duration::from_millis(ticks.saturating_mul(TICK)),
        resident: number(21)? * PAGE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_of_a_process_is_read() {
        let told = "17 (a) R 1 (b) R 1 17 17 0 -1 4194560 95 3 0 0 200 30 4 1 20 0 2 0 77 2564096 250 18446744073709551615 1";
        let stat = parse(told).unwrap();
        let read = (stat.state.as_str(), stat.threads, stat.used, stat.resident);
        assert_eq!(read, ("R", 2, Duration::from_millis(2350), 1_024_000));
        assert!(parse("17 (a) R 1").is_none());
    }

    #[test]
    fn a_name_and_a_thread_hide_nothing() {
        let (tell, over) = std::sync::mpsc::channel::<()>();
        let (hidden, named) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            rustix::thread::set_name(c"a\xff) S").unwrap();
            hidden.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
            while over.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                std::hint::spin_loop();
            }
        });
        let id = named.recv().unwrap();
        let own = std::process::id();
        let stat = read(Path::new(&format!("/proc/{own}/task/{id}/stat"))).unwrap();
        assert!(stat.resident > 1 << 20 && stat.threads > 1);
        assert_eq!(stat.state, "R");
        drop(tell);
        thread.join().unwrap();
    }
}
