//! The first process of a pid namespace gets every orphan as its child, and must wait for it: otherwise each
//! command leaves a zombie. In a container without an init of its own that is the worker. It cannot wait for
//! every child, because tokio waits for its own. So the first process only waits, and the worker is its
//! child.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

/// These reach the worker. It stops after the first two.
const FORWARDED: [(SignalKind, Signal); 4] = [
    (SignalKind::terminate(), Signal::TERM),
    (SignalKind::interrupt(), Signal::INT),
    (SignalKind::hangup(), Signal::HUP),
    (SignalKind::quit(), Signal::QUIT),
];

/// Whether this process is the first of its pid namespace.
#[must_use]
pub fn is_first() -> bool {
    std::process::id() == 1
}

/// Starts the same program as a child, forwards signals to it and waits for all children. Returns the exit
/// code of the worker. The kernel kills the worker if this process ends.
pub fn run_as_child() -> anyhow::Result<i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        // Before the child exists: neither its end nor a signal for it must be missed.
        let mut ended = signal(SignalKind::child())?;
        let mut forwarded = Vec::new();
        for (kind, sent) in FORWARDED {
            forwarded.push((signal(kind)?, sent));
        }
        let program = std::env::current_exe().context("the path of the program")?;
        // In a group of its own: a terminal sends Ctrl-C to the whole group of this process, and the worker
        // would get it twice.
        let child = Command::new(program).args(std::env::args_os().skip(1)).process_group(0).spawn()?;
        let worker =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the id of the worker")?;
        for (mut received, sent) in forwarded {
            tokio::spawn(async move {
                while received.recv().await.is_some() {
                    let _ = kill_process(worker, sent);
                }
            });
        }
        loop {
            if let Some(code) = wait_for_ended(worker) {
                return Ok(code);
            }
            ended.recv().await;
        }
    })
}

/// Waits for every child that has ended. Returns the worker's exit code if it is one of them.
fn wait_for_ended(worker: Pid) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == worker {
            let status = ExitStatus::from_raw(status.as_raw());
            code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        }
    }
    code
}
