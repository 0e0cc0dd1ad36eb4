//! The process that an operator starts. It starts the worker as its child, the same program with a hidden
//! argument, and waits. When the worker dies, its runs would wait for their leases to expire. But the end of
//! a child is certain. So this process waits until no process of the worker's sandboxes is left, and then
//! ends the leases (`report`). It exits with the worker's exit code; to start a worker again is the
//! orchestrator's job.
//!
//! It is also a subreaper: all orphans of commands become its children, and it waits for them. So a container
//! needs no other init.
//!
//! It opens no connection and has no thread before the worker has ended.

mod orphans;
mod report;
mod supervised;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};
use tokio::signal::unix::{Signal as Received, SignalKind, signal};

use crate::config::Config;
use crate::workspace::Home;
pub use supervised::{Supervised, new_worker_name};

/// How long to try to end the leases of a worker that stopped cleanly. Most often it has none left.
const AFTER_A_STOP: Duration = Duration::from_secs(2);
/// PostgreSQL notices within a second that a client is dead (`client_connection_check_interval`). Until then
/// a claim or a renewal that waits for a lock may still commit, and give the dead worker a lease.
const LAST_STATEMENTS: Duration = Duration::from_millis(1200);

/// Runs the worker as a child. Returns its exit code, or 128 plus the number of the signal that ended it.
pub fn run(config: &Config) -> anyhow::Result<i32> {
    set_child_subreaper(Some(getpid())).context("become the parent of orphans")?;
    let worker = new_worker_name();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        // Before the child exists: neither its end nor a signal for it must be missed.
        let (mut ended, mut signals) = (signal(SignalKind::child())?, Signals::new()?);
        let child = start(&worker)?;
        let code = loop {
            tokio::select! {
                _ = ended.recv() => if let Some(code) = orphans::wait_for_ended(child) { break code },
                sent = signals.next() => {
                    let _ = kill_process(child, sent);
                }
            }
        };
        tokio::select! {
            () = clean_up(config, &worker, code, &mut ended) => {}
            // The leases expire by themselves.
            _ = signals.next() => {}
        }
        anyhow::Ok(code)
    });
    runtime.shutdown_background();
    code
}

fn start(worker: &str) -> anyhow::Result<Pid> {
    let program = std::env::current_exe().context("the path of the program")?;
    let supervised = Supervised::by_this_process(worker);
    // In a group of its own: a terminal sends Ctrl-C to the whole group of this process, and the worker would
    // get it twice.
    let child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg(format!("--supervised={supervised}"))
        .process_group(0)
        .spawn()
        .context("start the worker")?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the id of the worker")
}

/// Ends what the worker left: its processes, then its leases.
async fn clean_up(config: &Config, worker: &str, code: i32, ended: &mut Received) {
    let has_files = Home::path_of(&config.sandbox.work_dir, worker).exists();
    // It ended before it took runs. The reason is in its last lines.
    if code != 0 && !has_files && !is_signal(code) {
        return;
    }
    // The worker accepted these settings. If its log cannot be installed again, the work is done without one.
    let _ = shared::telemetry::install(&config.log);
    if code != 0 {
        tracing::error!(worker, exit_code = code, "the worker died");
    }
    if !orphans::end_all(ended).await {
        tracing::error!(worker, "processes of the dead worker still exist; its leases will expire");
        return;
    }
    // After the whole lease all of them have expired.
    let within = if code == 0 { AFTER_A_STOP } else { config.lease.lease() };
    end_leases(config, worker, within).await;
    if code != 0 {
        tokio::time::sleep(LAST_STATEMENTS).await;
        end_leases(config, worker, AFTER_A_STOP).await;
    }
}

async fn end_leases(config: &Config, worker: &str, within: Duration) {
    match report::end_leases(config, worker, within).await {
        Some(0) => {}
        Some(leases) => {
            tracing::warn!(worker, leases, "ended the leases of the dead worker");
            report::broadcast(config).await;
        }
        None => tracing::error!(worker, "failed to end the leases of the dead worker; they will expire"),
    }
}

const fn is_signal(code: i32) -> bool {
    code > 128
}

/// The exit code of a process, as a shell shows it.
fn code_of(status: i32) -> Option<i32> {
    let status = ExitStatus::from_raw(status);
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

/// The signals that reach the worker. It stops after the first two.
struct Signals([(Received, Signal); 4]);

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self([
            (signal(SignalKind::terminate())?, Signal::TERM),
            (signal(SignalKind::interrupt())?, Signal::INT),
            (signal(SignalKind::hangup())?, Signal::HUP),
            (signal(SignalKind::quit())?, Signal::QUIT),
        ]))
    }

    /// Waits for the next one. Cancel safe.
    async fn next(&mut self) -> Signal {
        let [terminate, interrupt, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.0.recv() => terminate.1,
            _ = interrupt.0.recv() => interrupt.1,
            _ = hangup.0.recv() => hangup.1,
            _ = quit.0.recv() => quit.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
            let status = Command::new("/bin/sh").args(["-c", script]).status().unwrap();
            assert_eq!(code_of(status.into_raw()), Some(code), "{script}");
        }
    }
}
