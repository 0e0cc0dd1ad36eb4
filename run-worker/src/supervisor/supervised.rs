//! What a worker knows about its supervisor.

use std::fmt;
use std::str::FromStr;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// The argument that makes the program a worker: its name and the process that supervises it, as
/// `worker-…@PID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervised {
    pub worker: String,
    supervisor: i32,
}

/// Makes the name of a worker, which no other worker ever has.
#[must_use]
pub fn new_worker_name() -> String {
    format!("worker-{}", uuid::Uuid::now_v7().simple())
}

impl Supervised {
    pub(super) fn by_this_process(worker: &str) -> Self {
        Self { worker: worker.to_owned(), supervisor: getpid().as_raw_nonzero().get() }
    }

    /// The id of the supervisor's process.
    #[must_use]
    pub const fn supervisor(&self) -> u32 {
        self.supervisor.unsigned_abs()
    }

    /// Lets the kernel kill this process when its supervisor ends. Call it on the first thread, before there
    /// are others. It is an error if the supervisor has ended already.
    pub fn end_with_supervisor(&self) -> anyhow::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before the kernel knew.
        anyhow::ensure!(self.is_parent(), "the supervisor has ended");
        Ok(())
    }

    fn is_parent(&self) -> bool {
        getppid() == Pid::from_raw(self.supervisor)
    }
}

impl fmt::Display for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.worker, self.supervisor)
    }
}

impl FromStr for Supervised {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('@').and_then(|(worker, supervisor)| {
            let supervisor = supervisor.parse().ok().filter(|id| *id > 0)?;
            let id = uuid::Uuid::try_parse(worker.strip_prefix("worker-")?).ok()?;
            // The name becomes the name of a directory.
            let worker = format!("worker-{}", id.simple());
            Some(Self { worker, supervisor })
        });
        parsed.ok_or("only the supervisor sets this")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_supervisor_wrote_is_read() {
        let supervised = Supervised::by_this_process(&new_worker_name());
        assert_eq!(supervised.to_string().parse(), Ok(supervised.clone()));
        for wrong in ["", "worker-x@1", &supervised.worker, &format!("{}@0", supervised.worker), "../x@2"] {
            assert!(wrong.parse::<Supervised>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_parent_is_not_the_supervisor() {
        let supervised = Supervised::by_this_process(&new_worker_name());
        assert!(!supervised.is_parent(), "no process is its own parent");
        let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
        assert!(Supervised { supervisor: parent, ..supervised }.is_parent());
    }
}
