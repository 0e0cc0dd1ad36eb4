//! If the machine has too little memory or disk left, the worker ends one command: the one that uses most
//! memory, or that took most of the disk since it began. It then looks again after a moment. The commands
//! beside it run on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An ended command needs a moment to give back what it used.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A command that uses less did not cause a shortage of memory, if all it uses is known.
const MEMORY_THAT_MATTERS: u64 = 32 << 20;
/// A command that took less did not cause a shortage of disk.
const DISK_THAT_MATTERS: u64 = 1 << 20;

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shortage {
    Memory,
    Disk,
    /// Space of the disk that no file shows.
    Hidden,
}

/// What a command uses, at its last check.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Share {
    pub(super) memory: u64,
    /// Bytes on disk of its workspace.
    pub(super) workspace: u64,
    /// Bytes on disk of deleted files that it has open.
    pub(super) deleted: u64,
    /// Bytes that it may hide: 0 if it holds no file that nothing shows.
    pub(super) hidden: u64,
    /// Whether it keeps to itself what it uses.
    pub(super) is_partial: bool,
}

impl Share {
    const fn held(self) -> u64 {
        self.workspace + self.deleted
    }

    /// A command that uses less did not cause a shortage.
    const fn least(self, shortage: Shortage) -> u64 {
        match shortage {
            Shortage::Memory if self.is_partial => 1,
            Shortage::Memory => MEMORY_THAT_MATTERS,
            Shortage::Disk => DISK_THAT_MATTERS,
            Shortage::Hidden => 1,
        }
    }
}

/// The commands that run in this worker.
#[derive(Debug, Default)]
pub(super) struct Commands(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Also of commands that are being ended: their memory is not free yet.
    shares: HashMap<u64, Share>,
    /// How the bytes on disk of each of them changed.
    changes: HashMap<u64, i64>,
    /// The command that was ended last, for each shortage.
    last_end: HashMap<Shortage, (u64, Instant)>,
    /// How the bytes on disk of all commands changed.
    change: i64,
    /// How long the last check of each command took.
    checks: HashMap<u64, Duration>,
}

/// One command. It is removed when this is dropped: after its last process.
#[derive(Debug)]
pub(super) struct Entry {
    commands: Arc<Commands>,
    number: u64,
    /// The change of all commands when this one began.
    change_before: i64,
}

impl State {
    /// What a command has of what is short. What its workspace held before is not its doing.
    fn part(&self, number: u64, share: &Share, shortage: Shortage) -> u64 {
        match shortage {
            Shortage::Memory => share.memory,
            Shortage::Disk => {
                let change = self.changes.get(&number).copied().unwrap_or_default();
                change.max(0).cast_unsigned() + share.hidden
            }
            Shortage::Hidden => share.hidden,
        }
    }
}

impl Commands {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(self: &Arc<Self>) -> Entry {
        let mut state = self.state();
        state.next += 1;
        let (number, change_before) = (state.next, state.change);
        drop(state);
        Entry { commands: Arc::clone(self), number, change_before }
    }
}

impl Entry {
    /// The first share says what the workspace held before.
    pub(super) fn update(&self, share: Share) {
        let mut state = self.commands.state();
        if let Some(before) = state.shares.insert(self.number, share) {
            let change = signed(share.held()) - signed(before.held());
            state.change += change;
            *state.changes.entry(self.number).or_default() += change;
        }
    }

    /// Notes how long a check of this command took. Returns how long the last checks of all commands took
    /// together.
    pub(super) fn checked(&self, took: Duration) -> Duration {
        let mut state = self.commands.state();
        state.checks.insert(self.number, took);
        state.checks.values().sum()
    }

    /// How much more the other commands hold on the disk than when this one began.
    pub(super) fn change_of_others(&self) -> i64 {
        let state = self.commands.state();
        state.change - self.change_before - state.changes.get(&self.number).copied().unwrap_or_default()
    }

    /// Whether this command is the one to end now.
    pub(super) fn must_end(&self, shortage: Shortage, now: Instant) -> bool {
        let mut state = self.commands.state();
        let is_ending = state.last_end.get(&shortage).is_some_and(|(number, end)| {
            state.shares.contains_key(number) || now.duration_since(*end) < LOOK_AGAIN
        });
        let largest = state.shares.iter();
        let largest = largest.max_by_key(|(number, share)| (state.part(**number, share, shortage), **number));
        let is_largest = largest.is_some_and(|(number, share)| {
            *number == self.number && state.part(*number, share, shortage) >= share.least(shortage)
        });
        if is_ending || !is_largest {
            return false;
        }
        state.last_end.insert(shortage, (self.number, now));
        true
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.commands.state();
        state.changes.remove(&self.number);
        state.checks.remove(&self.number);
        if let Some(share) = state.shares.remove(&self.number) {
            state.change -= signed(share.deleted);
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_largest_command_ends_and_the_next_only_after_it_is_gone() {
        let (commands, now) = (Arc::new(Commands::default()), Instant::now());
        let entries = [10, 300, 200].map(|size| {
            let entry = commands.enter();
            entry.update(Share { memory: size << 20, workspace: 500 - size, ..Share::default() });
            entry
        });
        let ends = |shortage, now| entries.each_ref().map(|entry| entry.must_end(shortage, now));
        assert_eq!(ends(Shortage::Disk, now), [false; 3], "none took any");
        assert_eq!(ends(Shortage::Memory, now), [false, true, false]);
        assert_eq!(ends(Shortage::Memory, now), [false; 3], "its memory is not free yet");
        let later = now + LOOK_AGAIN;
        assert_eq!(ends(Shortage::Memory, later), [false; 3], "its processes are not gone yet");
        let [small, largest, next] = entries;
        drop(largest);
        assert_eq!([&small, &next].map(|entry| entry.must_end(Shortage::Memory, later)), [false, true]);
        drop(next);
        let last = later + LOOK_AGAIN;
        assert!(!small.must_end(Shortage::Memory, last), "it is too small to matter");
        small.update(Share { memory: 10 << 20, is_partial: true, ..Share::default() });
        assert!(small.must_end(Shortage::Memory, last), "what it uses is not known");
    }

    #[test]
    fn bytes_that_were_taken_since_count_and_not_bytes_that_are_held() {
        let (commands, now) = (Arc::new(Commands::default()), Instant::now());
        let [holds, hides] = [(), ()].map(|()| commands.enter());
        let ends = || [&holds, &hides].map(|entry| entry.must_end(Shortage::Disk, now));
        holds.update(Share { workspace: 95 << 20, ..Share::default() });
        holds.update(Share { workspace: 80 << 20, deleted: 5 << 20, ..Share::default() });
        hides.update(Share::default());
        assert_eq!(ends(), [false; 2], "none grew");
        assert!(!hides.must_end(Shortage::Hidden, now));
        hides.update(Share { workspace: 10 << 20, hidden: 100 << 20, ..Share::default() });
        assert!(!holds.must_end(Shortage::Hidden, now) && hides.must_end(Shortage::Hidden, now));
        assert_eq!(ends(), [false, true]);
    }

    #[test]
    fn the_last_check_of_each_running_command_counts() {
        let commands = Arc::new(Commands::default());
        let (one, other, ms) = (commands.enter(), commands.enter(), Duration::from_millis);
        assert_eq!([one.checked(ms(5)), other.checked(ms(7)), one.checked(ms(3))], [ms(5), ms(12), ms(10)]);
        drop(one);
        assert_eq!(other.checked(ms(7)), ms(7));
    }

    #[test]
    fn what_the_others_take_is_not_taken_by_this_one() {
        let commands = Arc::new(Commands::default());
        let share = |workspace, deleted| Share { workspace, deleted, ..Share::default() };
        let one = commands.enter();
        one.update(share(100, 0));
        let other = commands.enter();
        other.update(share(1000, 0));
        one.update(share(150, 0));
        assert_eq!((one.change_of_others(), other.change_of_others()), (0, 50));
        other.update(share(1200, 300));
        assert_eq!((one.change_of_others(), other.change_of_others()), (500, 50));
        drop(other);
        assert_eq!(one.change_of_others(), 200, "its deleted files are gone");
    }
}
