//! Signals to a process and its descendants at once. A worker is the child of its supervisor.

use std::process::Command;

use e2e::{Process, family_of};

/// Sends the signal, for example `STOP`, to each of them.
pub(crate) fn signal(process: &Process, name: &str) {
    let family = family_of(process.pid().expect("the process runs"));
    // One that has ended meanwhile is no fault.
    let sent = Command::new("kill").arg(format!("-{name}")).args(family.iter().map(u32::to_string)).status();
    assert!(sent.is_ok(), "the program kill is installed");
}
