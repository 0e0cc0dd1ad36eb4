//! Signals to a process and its descendants at once. A worker is the child of its supervisor.

use std::process::Command;

use e2e::Process;

/// Sends the signal, for example `STOP`, to each of them.
pub(crate) fn signal(process: &Process, name: &str) {
    let mut family: Vec<u32> = process.pid().into_iter().collect();
    let all = parents();
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    // One that has ended meanwhile is no fault.
    let sent = Command::new("kill").arg(format!("-{name}")).args(family.iter().map(u32::to_string)).status();
    assert!(sent.is_ok(), "the program kill is installed");
}

/// All processes, each with its parent.
fn parents() -> Vec<(u32, u32)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?))
    };
    pids.filter_map(parent).collect()
}
