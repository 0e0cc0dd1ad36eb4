//! When a command has waited too long for a processor: pure. An idle group gets next to nothing where services want every processor,
//! and a command must go on there too.

use std::time::{Duration, Instant};

/// For how long a command may want a processor and not get it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Processor time by which it has got one.
const ENOUGH: Duration = Duration::from_millis(50);

/// What is known of one command.
#[derive(Debug)]
pub(super) struct Patience {
    since: Instant,
    used: Duration,
}

impl Patience {
    /// Of a command that begins.
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now, used: Duration::ZERO }
    }

    /// Whether it is over, by what the processes are seen to want and have used so far together.
    pub(super) fn is_over(&mut self, now: Instant, wants: bool, used: Duration) -> bool {
        // What somebody used who was not waited for is lost to the sum, which then falls.
        if !wants || used.abs_diff(self.used) >= ENOUGH {
            *self = Self { since: now, used };
        }
        now.duration_since(self.since) >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_wants_and_does_not_get_loses_patience() {
        let begun = Instant::now();
        let at = |tenth: u32| begun + Duration::from_millis(100) * tenth;
        let looks = |wants: fn(u32) -> bool, used: fn(u32) -> u64| {
            let mut patience = Patience::new(begun);
            (1..50).find(|tenth| {
                patience.is_over(at(*tenth), wants(*tenth), Duration::from_millis(used(*tenth)))
            })
        };
        assert_eq!(looks(|_| true, |_| 0), Some(10), "starved");
        assert_eq!(
            looks(|_| true, |tenth| u64::from(tenth) * 6),
            None,
            "a little at a time, and enough of it"
        );
        assert_eq!(looks(|_| true, u64::from), Some(10), "too little");
        assert_eq!(looks(|tenth| tenth % 5 != 0, |_| 0), None, "it sleeps");
        assert_eq!(looks(|_| true, |tenth| u64::from(tenth.min(20)) * 100), Some(30), "others came");
    }
}
