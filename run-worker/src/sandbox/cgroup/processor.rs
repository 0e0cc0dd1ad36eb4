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

/// Its name, and what is written there.
pub(super) type File = (&'static str, String);

impl Version {
    /// Not idle any more, and light.
    pub(super) fn light(self) -> [File; 2] {
        let weight = match self {
            Self::One => ("cpu.shares", LIGHT.0.to_string()),
            Self::Two => ("cpu.weight", LIGHT.1.to_string()),
        };
        [idle(false), weight]
    }

    /// Neither idle nor bounded.
    pub(super) fn unbound(self) -> [File; 2] {
        [idle(false), self.most(None)]
    }

    /// So many processors' time at most. The period is the kernel's own.
    pub(super) fn most(self, processors: Option<u64>) -> File {
        let time = processors.map(|processors| (processors * PERIOD).to_string());
        match self {
            Self::One => ("cpu.cfs_quota_us", time.unwrap_or("-1".to_owned())),
            Self::Two => ("cpu.max", format!("{} {PERIOD}", time.unwrap_or("max".to_owned()))),
        }
    }
}

/// Whether the group gives way to all others.
pub(super) fn idle(idle: bool) -> File {
    ("cpu.idle", u8::from(idle).to_string())
}
