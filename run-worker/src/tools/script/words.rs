//! Describes a command to the model: how it ended, what to do about it, and what it printed. Pure.

use std::fmt::Write as _;

use shared::text::CleanText;

use crate::sandbox::limits::SandboxLimits;
use crate::sandbox::{EndReason, Execution};

const LIMITS: SandboxLimits = SandboxLimits::DEFAULT;
/// How the result of a command begins that did not fail.
const SUCCESS: &str = "exit code 0,";

/// What programs print at a limit, and what to do.
const HINTS: [(&[&str], &str); 4] = [
    (
        &["File too large", "File size limit exceeded"],
        "A file would be larger than the workspace may hold. Write less.",
    ),
    (
        &["No space left on device"],
        "/tmp has 64 MiB and /dev/shm 16 MiB. Write large files into the workspace.",
    ),
    (
        &["MemoryError", "Cannot allocate memory", "std::bad_alloc"],
        "The memory of a command is limited. Read data in pieces.",
    ),
    (
        &["Resource temporarily unavailable", "Cannot fork", "fork: retry", "can't start new thread"],
        "A command may have 64 processes and threads. Run fewer at once, and wait for each.",
    ),
];

/// Whether this is the result of a command that failed.
pub(crate) fn is_failed_command(tool: &str, result: &str) -> bool {
    ["python", "shell"].contains(&tool) && !result.starts_with(SUCCESS)
}

/// A command that ended.
pub(super) struct Ended<'e> {
    pub(super) execution: &'e Execution,
    /// The file in the workspace with the whole output, if the output is long.
    pub(super) kept: Option<&'e str>,
    /// The command had less time than it asked for, because the run has no more.
    pub(super) is_cut_short: bool,
    /// The workspace was over its limit when the command began.
    pub(super) was_over_full: bool,
    /// What to say about the workspace, if it is over its limit now.
    pub(super) over_full: Option<&'e str>,
}

impl Ended<'_> {
    /// The text that the model gets. What was printed comes last, because it may be cut.
    pub(super) fn text(&self, max: usize) -> String {
        let Execution { output, took, .. } = self.execution;
        let total = output.total();
        let between = match self.kept {
            Some(path) => format!("[… of {total} bytes the middle is left out; all of it is in {path} …]"),
            None => format!("[… of {total} bytes the middle is left out …]"),
        };
        let printed = output.shown(&between);
        let mut text = format!("{}, {:.1} s\n", self.end(), took.as_secs_f64());
        let hints = [self.advice(), self.hint(&printed), self.over_full];
        for hint in hints.into_iter().flatten() {
            let _ = writeln!(text, "[{hint}]");
        }
        text.push_str(if printed.is_empty() { "[nothing was printed]" } else { &printed });
        CleanText::new(&text, max).into_string()
    }

    /// How it ended, and at which limit.
    fn end(&self) -> String {
        let what = match self.execution.end {
            EndReason::Exited(code @ 129..=192) => {
                return format!("exit code {code} (ended by signal {}{})", code - 128, signal(code - 128));
            }
            EndReason::Exited(code) => return format!("exit code {code}"),
            EndReason::TimedOut(time) => format!("it was not done after {} s", time.as_secs()),
            EndReason::OutputLimit(max) => format!("it printed more than {}", size(max)),
            EndReason::MemoryLimit(max) => format!("it used more than {} of memory", size(max)),
            EndReason::SocketLimit(max) => {
                format!("it had more than {max} sockets, or much unread data in them")
            }
            EndReason::LockLimit(max) => {
                format!("it had more than {max} locks of file ranges and entries of epoll")
            }
            EndReason::TmpEntries(max) => format!("it made more than {max} files in /tmp and /dev/shm"),
            EndReason::WriteLimit(max) => format!("it wrote more than {} to the disk", size(max)),
            EndReason::MachineMemory => {
                "the machine is short of memory, and this command used most".to_owned()
            }
            EndReason::MachineDisk => {
                "the machine's disk is nearly full, and this command wrote to it".to_owned()
            }
            EndReason::HiddenFiles(max) => format!(
                "it took more than {} of the disk for files that were deleted or replaced while a program \
                 still mapped them, sent them to another program, or hid what it has open",
                size(max)
            ),
            EndReason::Quota(_) if self.was_over_full => {
                "the workspace was over its limit before, and this command wrote more".to_owned()
            }
            EndReason::Quota(exceeded) => exceeded.to_string(),
            EndReason::Cancelled => "the call ended".to_owned(),
        };
        format!("ended by capi: {what}")
    }

    /// What to do about the limit.
    fn advice(&self) -> Option<&'static str> {
        Some(match self.execution.end {
            EndReason::Exited(_) | EndReason::HiddenFiles(_) | EndReason::Cancelled => return None,
            // The workspace has a paragraph of its own while it is over its limit.
            EndReason::Quota(_) if self.over_full.is_some() => return None,
            EndReason::Quota(_) => "Write less at a time, and remove what is not needed.",
            EndReason::TimedOut(_) if self.is_cut_short => {
                "The time of the run is nearly used up. Give your final answer with what you have."
            }
            EndReason::TimedOut(time) if time >= LIMITS.max_time => {
                "No command may take longer. Do the work in parts, and keep what is done in files."
            }
            EndReason::TimedOut(_) => {
                "Set timeout_seconds to allow more, up to 600, or do the work in parts. A program that waits \
                 for input never gets any."
            }
            EndReason::OutputLimit(_) => {
                "Print less: write to a file of the workspace, and read parts of it."
            }
            EndReason::MemoryLimit(_) | EndReason::MachineMemory => {
                "Use less memory: read data in pieces, keep only the columns that are needed, and run fewer \
                 processes at once. /tmp and /dev/shm count as memory."
            }
            EndReason::SocketLimit(_) => {
                "Run fewer processes at once, close connections, and read what is sent. Data that waits in \
                 TCP connections counts as sockets."
            }
            EndReason::LockLimit(_) => "Run fewer processes at once.",
            EndReason::TmpEntries(_) => "Remove files in /tmp, or write them into the workspace.",
            EndReason::WriteLimit(_) => "Write less, also to files that are deleted again.",
            EndReason::MachineDisk => "Write less, and remove files that are not needed.",
        })
    }

    /// What to do about an error that a program printed.
    fn hint(&self, printed: &str) -> Option<&'static str> {
        let failed = matches!(self.execution.end, EndReason::Exited(code) if code != 0);
        let found = HINTS.iter().find(|(words, _)| words.iter().any(|word| printed.contains(word)));
        found.filter(|_| failed).map(|(_, hint)| *hint)
    }
}

/// What a signal mostly means here.
const fn signal(number: i32) -> &'static str {
    match number {
        4 => ": a processor instruction that this machine does not have",
        6 => ": the program aborted",
        7 => ": /dev/shm or /tmp is full; they have 16 MiB and 64 MiB, so write into the workspace",
        8 => ": a division by zero or another arithmetic error",
        9 => ": killed",
        11 => ": the program used memory that it does not have, for example after too deep a recursion",
        25 => ": a file would be larger than the workspace may hold",
        31 => ": a system call that the sandbox does not allow",
        _ => "",
    }
}

/// A number of bytes for people: 100 MiB, 1.5 GiB.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((name, unit)) = UNITS.into_iter().find(|(_, unit)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    if tenths % 10 == 0 {
        format!("{} {name}", tenths / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests;
