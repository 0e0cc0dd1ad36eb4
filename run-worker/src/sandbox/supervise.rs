//! One command in its sandbox, from bwrap's start to the last process's end. A task of its own: whoever loses interest tells it by a
//! token, and the processes are gone when it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::cgroup::Cgroup;
use super::limits::{GONE_WITHIN, STARTS_WITHIN};
use super::output::Printed;
use super::policy::{Interpreter, Mounts, arguments};
use super::spawn::{Given, Spawned};
use super::tree::Tree;
use super::watch::Watch;
use super::{Engine, SandboxError};
use crate::workspace::{Allowance, Excess};

/// Where a command printed less than so many bytes since it was last read from, the rest may wait in the pipe for so long: who prints
/// bit by bit does not wake the worker up each time.
const A_LOT: usize = 16 << 10;
const DRIBBLES: Duration = Duration::from_millis(10);

/// A script to be run.
#[derive(Debug, Clone)]
pub struct Job {
    /// What runs it.
    pub interpreter: Interpreter,
    /// Its text.
    pub script: String,
    /// What it sees of the machine.
    pub mounts: Mounts,
    /// Where its whole output goes if it is long; a path at which nothing is.
    pub printed: PathBuf,
    /// What it may take.
    pub time: Duration,
    /// What its workspace may hold.
    pub allowance: Allowance,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself: its exit code, 128 and the signal where one ended it.
    Exited(i32),
    /// It used up its time.
    OutOfTime(Duration),
    /// It printed more than so many bytes.
    Printed(u64),
    /// Its processes used more than so many bytes of memory.
    Memory(u64),
    /// Its workspace holds more than it may.
    Workspace(Excess),
    /// Nobody waits for it any more.
    Abandoned,
}

/// What came of a job.
#[derive(Debug)]
pub struct Execution {
    /// How it ended.
    pub ended: Ended,
    /// What it printed.
    pub printed: Printed,
    /// From the command's begin to its end.
    pub took: Duration,
    /// Whether the kernel has landlock, which is then in force.
    pub landlocked: bool,
}

pub(super) async fn supervise(
    engine: Arc<Engine>,
    job: Job,
    stop: CancellationToken,
) -> Result<Execution, SandboxError> {
    let cgroup = match engine.cgroups.clone() {
        Some(cgroups) => {
            let limits = engine.limits;
            Some(spawn_blocking(move || cgroups.create(&limits)).await.map_err(std::io::Error::from)??)
        }
        None => None,
    };
    let given = Given {
        script: &job.script,
        filters: &engine.filters,
        cgroup: cgroup.as_ref().map(Cgroup::open_for_joining).transpose()?,
    };
    let file_size = job.allowance.bytes;
    let spawned = engine.spawner.spawn(&engine.bwrap, engine.user, given, |fds| {
        arguments(&engine.host, &engine.limits, &job.mounts, file_size, job.interpreter, fds)
    });
    let printed = Printed::new(&job.printed);
    let mut running = Running { spawned: spawned.await?, tree: None, printed, cgroup };
    let begun = tokio::select! {
        begun = timeout(STARTS_WITHIN, running.begins()) => begun,
        () = stop.cancelled() => Ok(Ok(None)),
    };
    let landlocked = match begun {
        Ok(Ok(Some(landlocked))) => landlocked,
        failed => {
            running.end().await;
            let said = running.printed.shown("…");
            let why = match failed {
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it did not start within {} s", STARTS_WITHIN.as_secs()),
                Ok(Ok(_)) => said.trim().to_owned(),
            };
            return Err(SandboxError::Start(why));
        }
    };
    let begun = Instant::now();
    let ended = running.until_end(&engine, &job, &stop).await;
    let took = begun.elapsed();
    let exit_code = running.end().await;
    let ended = ended.unwrap_or(Ended::Exited(exit_code));
    running.printed.finish().await?;
    Ok(Execution { ended, printed: running.printed, took, landlocked })
}

/// Reads what there is, but not before a time. May be dropped: nothing is lost.
async fn read_from(output: &mut Receiver, from: Instant, buffer: &mut [u8]) -> std::io::Result<usize> {
    sleep_until(from).await;
    output.read(buffer).await
}

struct Running {
    spawned: Spawned,
    tree: Option<Tree>,
    printed: Printed,
    /// Removed when no process is in it any more.
    cgroup: Option<Cgroup>,
}

/// bwrap's word.
#[derive(Deserialize)]
struct Info {
    #[serde(rename = "child-pid")]
    child_pid: u32,
}

impl Running {
    /// Whether landlock is in force, once the command begins; none where it does not.
    async fn begins(&mut self) -> std::io::Result<Option<bool>> {
        let mut info = Vec::new();
        self.spawned.info.read_to_end(&mut info).await?;
        if let Ok(Info { child_pid }) = serde_json::from_slice(&info) {
            self.tree = Some(Tree::of(child_pid)?);
        }
        let mut word = [0];
        let read = self.spawned.status.read(&mut word).await?;
        Ok((read == 1 && self.tree.is_some()).then_some(word[0] == b'L'))
    }

    /// Why it has to be ended; none where it ended by itself.
    async fn until_end(&mut self, engine: &Engine, job: &Job, stop: &CancellationToken) -> Option<Ended> {
        let tree = self.tree.as_ref()?;
        let deadline = Instant::now() + job.time;
        let most_printed = engine.limits.printed;
        let mut watch = Watch::new(&engine.limits, job, self.cgroup.is_some());
        let (mut buffer, mut open, mut next_read) = (vec![0; 64 << 10], true, Instant::now());
        let output = &mut self.spawned.output;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Some(Ended::Abandoned),
                () = sleep_until(deadline) => return Some(Ended::OutOfTime(job.time)),
                () = sleep_until(watch.due) => {
                    if let Some(ended) = watch.look(tree).await {
                        return Some(ended);
                    }
                }
                read = read_from(output, next_read, &mut buffer), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(read) => {
                        next_read = Instant::now() + if read < A_LOT { DRIBBLES } else { Duration::ZERO };
                        let taken = self.printed.take(&buffer[..read]).await;
                        if taken.is_err() {
                            return Some(Ended::Workspace(Excess::Disk));
                        }
                        if self.printed.total() > most_printed {
                            return Some(Ended::Printed(most_printed));
                        }
                    }
                },
                _ = self.spawned.child.wait() => return None,
            }
        }
    }

    /// Ends what is left and waits until it is gone. The exit code.
    async fn end(&mut self) -> i32 {
        if let Some(cgroup) = &self.cgroup {
            cgroup.hurry();
        }
        if let Some(tree) = &self.tree {
            tree.kill();
        } else {
            let _ = self.spawned.child.start_kill();
        }
        // bwrap does not wait for whatever its command left in the background.
        let all_gone = async {
            if let Some(tree) = &self.tree {
                tree.gone(GONE_WITHIN).await;
            }
            self.spawned.child.wait().await
        };
        let mut gone = timeout(GONE_WITHIN, all_gone).await;
        if gone.is_err() {
            metrics::counter!("capi_sandbox_processes_left_total").increment(1);
            tracing::error!(
                "processes of a sandbox are still there {} s after they were killed",
                GONE_WITHIN.as_secs()
            );
            let _ = self.spawned.child.start_kill();
            gone = timeout(GONE_WITHIN, self.spawned.child.wait()).await;
        }
        // Nobody can write any more: what is left is what the pipe holds.
        let mut rest = [0; 4096];
        while let Ok(Ok(read @ 1..)) = timeout(GONE_WITHIN, self.spawned.output.read(&mut rest)).await {
            if self.printed.take(&rest[..read]).await.is_err() {
                break;
            }
        }
        if let Some(cgroup) = self.cgroup.take() {
            let _ = spawn_blocking(move || drop(cgroup)).await;
        }
        gone.ok().and_then(Result::ok).and_then(|status| status.code()).unwrap_or(-1)
    }
}
