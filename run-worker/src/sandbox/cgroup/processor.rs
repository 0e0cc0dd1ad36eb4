//! The controller cpu, by the files of either version of cgroups.
//!
//! A group that is idle gives way at once to whoever else wakes up. That is what keeps the services quick beside it, and it is measured
//! against the groups beside it only, so it says most where the worker, the database and the broker are not in groups of their own.

/// Of cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// Over which the kernel counts what a group used, in microseconds.
const PERIOD: u64 = 100_000;
/// A tenth of what a service weighs by default: 1024 of version one, 100 of version two.
const LIGHT: (u64, u64) = (102, 10);

type Files = Vec<(&'static str, String)>;

impl Version {
    /// For a new group: idle, and so many processors' time at most.
    pub(super) fn idle(self, processors: u64) -> Files {
        let mut files = vec![("cpu.idle", "1".to_owned())];
        files.push(self.most(Some(processors)));
        files
    }

    /// Not idle any more, and light.
    pub(super) fn light(self) -> Files {
        let weight = match self {
            Self::One => ("cpu.shares", LIGHT.0.to_string()),
            Self::Two => ("cpu.weight", LIGHT.1.to_string()),
        };
        vec![("cpu.idle", "0".to_owned()), weight]
    }

    /// Neither idle nor bounded.
    pub(super) fn unbound(self) -> Files {
        vec![("cpu.idle", "0".to_owned()), self.most(None)]
    }

    /// The period is the kernel's own.
    fn most(self, processors: Option<u64>) -> (&'static str, String) {
        let time = processors.map(|processors| processors * PERIOD);
        match self {
            Self::One => ("cpu.cfs_quota_us", time.map_or("-1".to_owned(), |time| time.to_string())),
            Self::Two => {
                ("cpu.max", format!("{} {PERIOD}", time.map_or("max".to_owned(), |time| time.to_string())))
            }
        }
    }
}
