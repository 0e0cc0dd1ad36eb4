//! If the machine has too little memory or disk left, the worker ends one command: the one that uses most. It
//! then looks again after a moment. The commands beside it run on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An ended command needs a moment to give back what it used.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A command that uses less did not cause a shortage of memory.
const MEMORY_THAT_MATTERS: u64 = 32 << 20;
/// A command that has written less did not cause a shortage of disk.
const WRITTEN_THAT_MATTERS: u64 = 1 << 20;

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shortage {
    Memory,
    Disk,
}

/// What a command uses, at its last check.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Share {
    pub(super) memory: u64,
    pub(super) written: u64,
}

impl Share {
    const fn of(self, shortage: Shortage) -> u64 {
        match shortage {
            Shortage::Memory => self.memory,
            Shortage::Disk => self.written,
        }
    }
}

/// The commands that run in this worker.
#[derive(Debug, Default)]
pub(super) struct Commands(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    shares: HashMap<u64, Share>,
    last_end: HashMap<Shortage, Instant>,
}

/// One command. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    commands: Arc<Commands>,
    number: u64,
}

impl Commands {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(self: &Arc<Self>) -> Entry {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.shares.insert(number, Share::default());
        drop(state);
        Entry { commands: Arc::clone(self), number }
    }
}

impl Entry {
    pub(super) fn update(&self, share: Share) {
        self.commands.state().shares.insert(self.number, share);
    }

    /// Whether this command is the one to end now.
    pub(super) fn must_end(&self, shortage: Shortage, now: Instant) -> bool {
        let mut state = self.commands.state();
        let ended_lately =
            state.last_end.get(&shortage).is_some_and(|end| now.duration_since(*end) < LOOK_AGAIN);
        let largest = state.shares.iter().max_by_key(|(number, share)| (share.of(shortage), **number));
        let matters = match shortage {
            Shortage::Memory => MEMORY_THAT_MATTERS,
            Shortage::Disk => WRITTEN_THAT_MATTERS,
        };
        let is_largest =
            largest.is_some_and(|(number, share)| *number == self.number && share.of(shortage) >= matters);
        if ended_lately || !is_largest {
            return false;
        }
        state.last_end.insert(shortage, now);
        true
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.commands.state().shares.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_largest_command_ends_and_the_next_only_after_a_moment() {
        let (commands, now) = (Arc::new(Commands::default()), Instant::now());
        let entries = [10, 300, 200].map(|size| {
            let entry = commands.enter();
            entry.update(Share { memory: size << 20, written: 500 - size });
            entry
        });
        let ends = |shortage, now| entries.each_ref().map(|entry| entry.must_end(shortage, now));
        assert_eq!(ends(Shortage::Disk, now), [false; 3], "none has written enough");
        assert_eq!(ends(Shortage::Memory, now), [false, true, false]);
        assert_eq!(ends(Shortage::Memory, now), [false; 3], "its memory is not free yet");
        let later = now + LOOK_AGAIN;
        let [small, largest, next] = entries;
        drop(largest);
        assert_eq!([&small, &next].map(|entry| entry.must_end(Shortage::Memory, later)), [false, true]);
        drop(next);
        assert!(!small.must_end(Shortage::Memory, later + LOOK_AGAIN), "it is too small to matter");
    }
}
