//! One checker process.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use super::program::{LARGE_TASK_BYTES, PANICKED};
use super::protocol::{Answer, MAX_MESSAGE_BYTES};

/// Processor time of one task (bar H1: a definition is refused or done within a second). It is processor
/// time, so that a busy machine refuses no honest definition.
const TASK_CPU: Duration = Duration::from_millis(700);
/// An account whose task used this much waits in the queue of such accounts for a while.
const COSTLY_CPU: Duration = Duration::from_millis(100);
/// How long one task may take on the busiest machine.
const TASK_DEADLINE: Duration = Duration::from_secs(10);
/// How often to compare a task with its limits.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);
/// A process that used this much processor time is replaced, before its own limit ends it.
const RETIRE_CPU: Duration = Duration::from_secs(20);
/// How long a process that closed its pipe may take to end.
const EXIT_DEADLINE: Duration = Duration::from_secs(1);

/// The unit of processor times in /proc (`USER_HZ`, which is 100 in every Linux).
const TICK: Duration = Duration::from_millis(10);

const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;
const SIGBUS: i32 = 7;

/// Why a process gave no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The task exceeded its time. The process was killed.
    Slow,
    /// The task exceeded the memory or the stack of the process.
    Crashed,
    /// The library that worked on the task panicked.
    Panicked,
    /// The process ended for a reason outside the task.
    Gone(String),
}

pub(super) struct CheckerProcess {
    process: Child,
    largest_task: usize,
    /// Processor time up to the last answer. An idle process uses none.
    cpu: Duration,
    /// Processor time of the last task.
    last_used: Duration,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl CheckerProcess {
    pub(super) fn start(program: &Path) -> std::io::Result<Self> {
        let mut process = Command::new(program)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let piped = || std::io::Error::other("no pipe to the process");
        let stdin = process.stdin.take().ok_or_else(piped)?;
        let stdout = process.stdout.take().ok_or_else(piped)?;
        Ok(Self { process, largest_task: 0, cpu: Duration::ZERO, last_used: Duration::ZERO, stdin, stdout })
    }

    /// Sends a task and waits for its answer. After an error the process is of no use.
    pub(super) async fn answer(&mut self, task: &[u8]) -> Result<Answer, Lost> {
        let Some(pid) = self.process.id() else { return Err(Lost::Gone("it has ended".to_owned())) };
        let (started, before) = (Instant::now(), self.cpu);
        self.largest_task = self.largest_task.max(task.len());
        let Self { process, cpu, last_used, stdin, stdout, .. } = self;
        let mut exchange = Box::pin(exchange(stdin, stdout, task));
        let result = loop {
            if let Ok(result) = tokio::time::timeout(WATCH_INTERVAL, &mut exchange).await {
                break result;
            }
            let used = cpu_time(pid).saturating_sub(before);
            if used > TASK_CPU || started.elapsed() > TASK_DEADLINE {
                // A kill of a process that has just ended fails, which is as good.
                drop(process.start_kill());
                return Err(Lost::Slow);
            }
        };
        match result {
            Ok(answer) => {
                *cpu = cpu_time(pid);
                *last_used = cpu.saturating_sub(before);
                Ok(answer)
            }
            Err(error) => {
                *last_used = cpu_time(pid).saturating_sub(before);
                Err(why_ended(process, &error).await)
            }
        }
    }

    /// Whether the last task cost so much that its account must wait for its like.
    pub(super) fn was_costly(&self) -> bool {
        self.last_used >= COSTLY_CPU
    }

    /// Whether the process may take another task.
    pub(super) fn is_fit(&mut self) -> bool {
        // The memory of a large task may not be free for the next one.
        let unused = self.largest_task <= LARGE_TASK_BYTES && self.cpu < RETIRE_CPU;
        unused && matches!(self.process.try_wait(), Ok(None))
    }

    #[cfg(test)]
    pub(super) fn kill(&mut self) {
        self.process.start_kill().unwrap();
    }
}

async fn why_ended(process: &mut Child, error: &std::io::Error) -> Lost {
    match tokio::time::timeout(EXIT_DEADLINE, process.wait()).await {
        Ok(Ok(status)) if status.code() == Some(PANICKED) => Lost::Panicked,
        Ok(Ok(status)) if is_own_fault(status) => Lost::Crashed,
        Ok(Ok(status)) => Lost::Gone(status.to_string()),
        _ => Lost::Gone(error.to_string()),
    }
}

/// Whether the task ended the process by a signal. A kill from outside, for example by the kernel when the
/// machine has no memory, says nothing about the task.
fn is_own_fault(status: ExitStatus) -> bool {
    matches!(status.signal(), Some(SIGABRT | SIGSEGV | SIGBUS))
}

async fn exchange(stdin: &mut ChildStdin, stdout: &mut ChildStdout, task: &[u8]) -> std::io::Result<Answer> {
    let length = u32::try_from(task.len()).map_err(std::io::Error::other)?;
    // One write: each of them would wake the process up.
    stdin.write_all(&[&length.to_le_bytes(), task].concat()).await?;
    stdin.flush().await?;
    let length = stdout.read_u32_le().await? as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(std::io::Error::other("the answer is too long"));
    }
    let mut answer = vec![0; length];
    stdout.read_exact(&mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}

/// The processor time that a process has used. Zero if it has ended.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the name in brackets, so count from behind it: utime is field 14, stime field 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let ticks: u64 = fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}
