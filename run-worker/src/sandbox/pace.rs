//! When the next check of a command is due.

use std::time::Duration;

/// The usual pause between two checks. A check of 60 processes with their files takes 2 ms.
pub(super) const EVERY: Duration = Duration::from_millis(100);
/// The pause before the first check, and the shortest near a limit.
pub(super) const SOONEST: Duration = Duration::from_millis(20);
/// The pause is at least this many times as long as the check took, unless a limit is near.
const PAUSE_FACTOR: u32 = 10;
/// The longest pause, even after a slow check.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// Bytes a millisecond that one processor takes at most: 2 GiB/s. Also for the disk, where the caches of the
/// kernel come first.
const FASTEST: u64 = 2 << 20;
/// More processors do not take memory faster than this many.
const MAX_PROCESSORS: u64 = 8;
/// What the disk of a command may exceed its limit by (bar H3). So a small workspace is not checked all the
/// time. A command that begins in a full workspace has no such room: an over-full one used it up.
const DISK_ABOVE: u64 = 64 << 20;
/// In a millisecond.
const FASTEST_SOCKETS: u64 = 100;
const FASTEST_FILES: u64 = 100;

/// What a command may still take before a limit is near.
pub(super) struct Room {
    /// Bytes of the workspace.
    pub(super) disk: u64,
    /// Whether the workspace was full when the command began.
    pub(super) began_full: bool,
    /// Bytes of the machine's disk.
    pub(super) free: u64,
    pub(super) memory: u64,
    pub(super) sockets: u64,
    pub(super) tmp_entries: u64,
}

impl Room {
    /// The command needs at least this long to take it.
    fn lasts(&self) -> Duration {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let above = if self.began_full { 0 } else { DISK_ABOVE };
        let times = [
            self.disk.saturating_add(above).min(self.free) / FASTEST,
            self.memory / (FASTEST * processors.min(MAX_PROCESSORS)),
            self.sockets / FASTEST_SOCKETS,
            self.tmp_entries / FASTEST_FILES,
        ];
        Duration::from_millis(times.into_iter().min().unwrap_or_default())
    }
}

/// After a check that took this long. `all` is how long the last checks of all commands took together, with
/// this one.
pub(super) fn pause(took: Duration, all: Duration, room: &Room) -> Duration {
    let lasts = room.lasts();
    // If all commands are near a limit, their checks need half of a processor together.
    let soonest = SOONEST.max((2 * all).saturating_sub(took));
    let latest = lasts.clamp(soonest, MAX_PAUSE.max(soonest));
    (took * PAUSE_FACTOR).max(EVERY).clamp(soonest, latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH: Room = Room {
        disk: 1 << 40,
        began_full: false,
        free: 1 << 40,
        memory: 1 << 40,
        sockets: 1 << 20,
        tmp_entries: 1 << 20,
    };

    #[test]
    fn a_slow_check_does_not_delay_the_next_one_near_a_limit() {
        let ms = Duration::from_millis;
        let cases = [
            (ms(2), MUCH, EVERY),
            (ms(30), MUCH, ms(300)),
            (ms(200), MUCH, MAX_PAUSE),
            (ms(30), Room { memory: 1 << 20, ..MUCH }, ms(30)),
            (ms(2), Room { memory: 0, ..MUCH }, SOONEST),
            (ms(2), Room { sockets: 100, ..MUCH }, SOONEST),
            (ms(2), Room { tmp_entries: 5000, ..MUCH }, ms(50)),
            (ms(30), Room { disk: 20 << 20, ..MUCH }, ms(42)),
            (ms(2), Room { disk: 0, began_full: true, ..MUCH }, SOONEST),
            (ms(2), Room { free: 1 << 20, ..MUCH }, SOONEST),
        ];
        for (at, (took, room, expected)) in cases.into_iter().enumerate() {
            assert_eq!(pause(took, took, &room), expected, "case {at}");
        }
    }

    #[test]
    fn the_checks_of_many_commands_take_half_of_a_processor() {
        let near = Room { memory: 0, ..MUCH };
        let all_take = [vec![2; 3], vec![30; 16], vec![2, 2, 2, 50], vec![100; 60]];
        for took in all_take.map(|took| took.into_iter().map(Duration::from_millis).collect::<Vec<_>>()) {
            let all = took.iter().sum();
            let share =
                |took: &Duration| took.as_secs_f64() / (*took + pause(*took, all, &near)).as_secs_f64();
            let used: f64 = took.iter().map(share).sum();
            assert!(used < 0.51, "{used} of a processor: {took:?}");
        }
        let (short, long) = (Duration::from_millis(1), Duration::from_millis(6));
        assert_eq!(pause(short, short + long, &near), SOONEST, "few short checks are not delayed");
    }
}
