//! What processes of this machine use, from /proc. A service may consist of several processes, and PostgreSQL
//! has one for each connection, so all figures are sums over a process and its descendants.

use std::collections::HashMap;
use std::fs::{read_dir, read_link, read_to_string};

use e2e::{family_of, parents};

const MS_PER_TICK: f64 = 10.0;
/// In the fields of /proc/PID/stat after the name: user and system time of the process, then those of its
/// ended children.
const TIMES: std::ops::Range<usize> = 11..15;
/// The state of a listening socket in /proc/net/tcp.
const LISTENING: &str = "0A";

/// User and system processor time in milliseconds. Processes that have ended count too.
pub(crate) fn cpu_ms(root: u32) -> f64 {
    let ticks = |pid: u32| {
        let text = read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<_> = text.rsplit(')').next()?.split_whitespace().collect();
        Some(fields.get(TIMES)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>())
    };
    family_of(root).into_iter().filter_map(ticks).sum::<f64>() * MS_PER_TICK
}

/// A counter of each thread of a process and its descendants.
#[derive(Default)]
pub(crate) struct Threads(HashMap<u32, f64>);

impl Threads {
    /// User and system processor time in milliseconds, with the resolution of nanoseconds.
    pub(crate) fn cpu_ms(root: u32) -> Self {
        Self::read(root, "schedstat", |stat| Some(stat.split(' ').next()?.parse::<f64>().ok()? / 1_000_000.0))
    }

    /// How often they gave up the processor or lost it.
    pub(crate) fn context_switches(root: u32) -> Self {
        Self::read(root, "status", |status| {
            let lines = status.lines().filter(|line| line.contains("ctxt_switches:"));
            Some(lines.filter_map(|line| line.rsplit('\t').next()?.parse::<f64>().ok()).sum())
        })
    }

    /// The counter that this file of each thread contains.
    fn read(root: u32, file: &str, counter: impl Fn(&str) -> Option<f64>) -> Self {
        let mut threads = HashMap::new();
        for pid in family_of(root) {
            for thread in numbers(&format!("/proc/{pid}/task")) {
                let text = read_to_string(format!("/proc/{pid}/task/{thread}/{file}"));
                if let Some(count) = text.ok().and_then(|text| counter(&text)) {
                    threads.insert(thread, count);
                }
            }
        }
        Self(threads)
    }

    /// What these threads have added since `before`. A thread that has ended takes its counter along, so a
    /// difference of sums would be too small by all that it counted before.
    pub(crate) fn since(&self, before: &Self) -> f64 {
        let added = |(thread, now): (&u32, &f64)| now - before.0.get(thread).copied().unwrap_or_default();
        self.0.iter().map(added).sum()
    }
}

/// The names of entries that are numbers.
fn numbers(dir: &str) -> Vec<u32> {
    let entries = read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The number of processes, and their resident memory in MB. Pages that several of them share count once.
pub(crate) fn memory(root: u32) -> (usize, f64) {
    let tree = family_of(root);
    let share = |pid: &u32| -> Option<f64> {
        let rollup = read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    (tree.len(), tree.iter().filter_map(share).sum::<f64>() / 1024.0)
}

/// The process that listens on this TCP port of the machine: of several the one that started the others.
pub(crate) fn listener(port: u16) -> Option<u32> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in read_to_string(table).unwrap_or_default().lines() {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            if *state == LISTENING && local.ends_with(&format!(":{port:04X}")) {
                inodes.push(format!("socket:[{inode}]"));
            }
        }
    }
    let listens = |pid: &u32| {
        let descriptors = read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|entry| read_link(entry.path()).ok());
        targets.any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
    };
    let all = parents();
    let found: Vec<_> = all.keys().copied().filter(listens).collect();
    found.iter().copied().find(|pid| all.get(pid).is_none_or(|parent| !found.contains(parent)))
}
