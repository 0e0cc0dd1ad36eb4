//! Runs one command, from the start of bwrap to the end of the last process. It is a task of its own: the
//! caller cancels a token, and when the task ends, no process is left.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::cgroup::Cgroup;
use super::findings::look_before;
use super::job::{EndReason, Execution, Job};
use super::limits::{GONE_WITHIN, STARTS_WITHIN};
use super::output::CommandOutput;
use super::policy::arguments;
use super::spawn::{Inherited, Spawned};
use super::tree::ProcessTree;
use super::watch::Watch;
use super::{Engine, SandboxError};

/// A read that returns less than `A_LOT` is followed by a pause: a command that prints in small pieces must
/// not wake the worker for each of them.
const A_LOT: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn supervise(
    engine: Arc<Engine>,
    job: Job,
    stop: CancellationToken,
) -> Result<Execution, SandboxError> {
    // It counts until its last process is gone: its memory and its disk are free only then.
    let entry = engine.commands.enter();
    let (workspace, quota) = (job.mounts.workspace.clone(), job.quota);
    let looking = spawn_blocking(move || look_before(&workspace, &quota));
    let before = looking.await.map_err(std::io::Error::from)??;
    let cgroup = match engine.cgroups.clone() {
        Some(cgroups) => {
            let limits = engine.limits;
            Some(spawn_blocking(move || cgroups.create(&limits)).await.map_err(std::io::Error::from)??)
        }
        None => None,
    };
    let inherited = Inherited {
        script: &job.script,
        filters: &engine.filters,
        cgroup: cgroup.as_ref().map(Cgroup::open_for_joining).transpose()?,
    };
    let file_size = job.quota.bytes;
    let spawned = engine.spawner.spawn(&engine.bwrap, engine.user, inherited, |fds| {
        arguments(&engine.host, &engine.limits, &job.mounts, file_size, job.interpreter, fds)
    });
    let output = CommandOutput::new(&job.output_file);
    let mut command = RunningCommand::new(spawned.await?, output, cgroup);
    let started = tokio::select! {
        started = timeout(STARTS_WITHIN, command.wait_for_start()) => started,
        () = stop.cancelled() => Ok(Ok(None)),
    };
    let landlocked = match started {
        Ok(Ok(Some(landlocked))) => landlocked,
        failed => {
            command.end().await;
            let why = match failed {
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it did not start within {} s", STARTS_WITHIN.as_secs()),
                Ok(Ok(_)) => command.output.shown("…").trim().to_owned(),
            };
            return Err(SandboxError::Start(why));
        }
    };
    let begun = Instant::now();
    let mut watch = Watch::new(&engine.limits, &job, before, command.cgroup.is_some(), &entry);
    let reason = command.wait_for_end(&engine, &job, &stop, &mut watch).await;
    let (took, unmeasured) = (begun.elapsed(), watch.unmeasured());
    let exit_code = command.end().await;
    drop(entry);
    let flushed = command.output.flush().await;
    let end = match reason {
        _ if flushed.is_err() => EndReason::MachineDisk,
        // The kernel ended its whole group.
        None if command.ran_out_of_memory => EndReason::MemoryLimit(engine.limits.memory),
        reason => reason.unwrap_or(EndReason::Exited(exit_code)),
    };
    Ok(Execution { end, output: command.output, took, landlocked, unmeasured })
}

/// Waits until `from`, then reads what is there. Cancel safe.
async fn read_from(output: &mut Receiver, from: Instant, buffer: &mut [u8]) -> std::io::Result<usize> {
    sleep_until(from).await;
    output.read(buffer).await
}

struct RunningCommand {
    spawned: Spawned,
    tree: Option<ProcessTree>,
    output: CommandOutput,
    cgroup: Option<Cgroup>,
    /// Whether the kernel ended the group because its memory was used up.
    ran_out_of_memory: bool,
}

/// bwrap's report about the first process inside.
#[derive(Deserialize)]
struct BwrapInfo {
    #[serde(rename = "child-pid")]
    child_pid: u32,
}

impl RunningCommand {
    const fn new(spawned: Spawned, output: CommandOutput, cgroup: Option<Cgroup>) -> Self {
        Self { spawned, tree: None, output, cgroup, ran_out_of_memory: false }
    }

    /// Waits until the command begins. Returns whether landlock is in force, or none if the command does not
    /// begin.
    async fn wait_for_start(&mut self) -> std::io::Result<Option<bool>> {
        let mut info = Vec::new();
        self.spawned.info.read_to_end(&mut info).await?;
        if let Ok(BwrapInfo { child_pid }) = serde_json::from_slice(&info) {
            self.tree = Some(ProcessTree::of(child_pid)?);
        }
        let mut status = [0];
        let read = self.spawned.status.read(&mut status).await?;
        Ok((read == 1 && self.tree.is_some()).then_some(status[0] == b'L'))
    }

    /// Returns why the command must be ended, or none if it ended by itself.
    async fn wait_for_end(
        &mut self,
        engine: &Engine,
        job: &Job,
        stop: &CancellationToken,
        watch: &mut Watch<'_>,
    ) -> Option<EndReason> {
        let tree = self.tree.as_ref()?;
        let deadline = Instant::now() + job.time;
        let max_output = engine.limits.output;
        // A check may be slow. It must not delay the other branches.
        let watching = watch.run(tree);
        tokio::pin!(watching);
        let (mut buffer, mut open, mut next_read) = (vec![0; 64 << 10], true, Instant::now());
        let output = &mut self.spawned.output;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Some(EndReason::Cancelled),
                () = sleep_until(deadline) => return Some(EndReason::TimedOut(job.time)),
                reason = &mut watching => return Some(reason),
                read = read_from(output, next_read, &mut buffer), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(read) => {
                        next_read = Instant::now() + if read < A_LOT { PAUSE } else { Duration::ZERO };
                        if self.output.write(&buffer[..read]).await.is_err() {
                            return Some(EndReason::MachineDisk);
                        }
                        if self.output.total() > max_output {
                            return Some(EndReason::OutputLimit(max_output));
                        }
                    }
                },
                _ = self.spawned.child.wait() => return None,
            }
        }
    }

    /// Kills all processes and waits until they are gone. Returns the exit code.
    async fn end(&mut self) -> i32 {
        if let Some(cgroup) = &self.cgroup {
            cgroup.hurry();
        }
        if let Some(tree) = &self.tree {
            tree.kill();
        } else {
            let _ = self.spawned.child.start_kill();
        }
        // bwrap does not wait for background processes of the command.
        let all_gone = async {
            if let Some(tree) = &self.tree {
                tree.wait_until_gone(GONE_WITHIN).await;
            }
            self.spawned.child.wait().await
        };
        let mut gone = timeout(GONE_WITHIN, all_gone).await;
        if gone.is_err() {
            metrics::counter!("capi_sandbox_kill_timeouts_total").increment(1);
            tracing::error!(
                "processes of a sandbox still exist {} s after they were killed",
                GONE_WITHIN.as_secs()
            );
            let _ = self.spawned.child.start_kill();
            gone = timeout(GONE_WITHIN, self.spawned.child.wait()).await;
        }
        // No process writes any more: the pipe holds all that is left.
        let mut rest = [0; 4096];
        while let Ok(Ok(read @ 1..)) = timeout(GONE_WITHIN, self.spawned.output.read(&mut rest)).await {
            if self.output.write(&rest[..read]).await.is_err() {
                break;
            }
        }
        if let Some(cgroup) = self.cgroup.take() {
            self.ran_out_of_memory = cgroup.ran_out_of_memory();
            let span = Span::current();
            let _ = spawn_blocking(move || span.in_scope(|| drop(cgroup))).await;
        }
        gone.ok().and_then(Result::ok).and_then(|status| status.code()).unwrap_or(-1)
    }
}
