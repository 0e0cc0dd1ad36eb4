//! What processes of this machine use, from /proc. A service may consist of several processes, and PostgreSQL
//! has one for each connection, so all figures are sums over a process and its descendants.

use std::collections::HashMap;
use std::fs::{read_dir, read_link, read_to_string};

const MS_PER_TICK: f64 = 10.0;
/// In the fields of /proc/PID/stat after the name: parent, then user and system time of the process, then
/// those of its ended children.
const PARENT: usize = 1;
const TIMES: std::ops::Range<usize> = 11..15;
/// The state of a listening socket in /proc/net/tcp.
const LISTENING: &str = "0A";

struct Stat {
    parent: u32,
    ticks: f64,
}

fn stats() -> HashMap<u32, Stat> {
    let stat = |pid: u32| {
        let text = read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<_> = text.rsplit(')').next()?.split_whitespace().collect();
        let ticks = fields.get(TIMES)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum();
        Some((pid, Stat { parent: fields.get(PARENT)?.parse().ok()?, ticks }))
    };
    numbers("/proc").into_iter().filter_map(stat).collect()
}

/// The names of entries that are numbers.
fn numbers(dir: &str) -> Vec<u32> {
    let entries = read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The process and its descendants.
fn tree(root: u32, all: &HashMap<u32, Stat>) -> Vec<u32> {
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    tree
}

/// User and system processor time in milliseconds. Processes that have ended count too.
pub(crate) fn cpu_ms(root: u32) -> f64 {
    let all = stats();
    tree(root, &all).iter().filter_map(|pid| all.get(pid)).map(|stat| stat.ticks).sum::<f64>() * MS_PER_TICK
}

/// The same with the resolution of nanoseconds. Threads that have ended do not count.
pub(crate) fn precise_cpu_ms(root: u32) -> f64 {
    let nanoseconds = |stat: String| stat.split(' ').next()?.parse::<f64>().ok();
    threads(root, "schedstat").filter_map(nanoseconds).sum::<f64>() / 1_000_000.0
}

/// How often threads of the tree gave up the processor or lost it. Threads that have ended do not count.
pub(crate) fn context_switches(root: u32) -> f64 {
    let of_thread = |status: String| -> f64 {
        let lines = status.lines().filter(|line| line.contains("ctxt_switches:"));
        lines.filter_map(|line| line.rsplit('\t').next()?.parse::<f64>().ok()).sum()
    };
    threads(root, "status").map(of_thread).sum()
}

/// This file of each thread.
fn threads(root: u32, file: &'static str) -> impl Iterator<Item = String> {
    let all = stats();
    let threads = tree(root, &all).into_iter().flat_map(|pid| {
        let dir = format!("/proc/{pid}/task");
        numbers(&dir).into_iter().map(move |thread| format!("{dir}/{thread}"))
    });
    threads.filter_map(move |thread| read_to_string(format!("{thread}/{file}")).ok())
}

/// The number of processes, and their resident memory in MB. Pages that several of them share count once.
pub(crate) fn memory(root: u32) -> (usize, f64) {
    let all = stats();
    let tree = tree(root, &all);
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
    let all = stats();
    let found: Vec<_> = all.keys().copied().filter(listens).collect();
    found.iter().copied().find(|pid| all.get(pid).is_none_or(|stat| !found.contains(&stat.parent)))
}
