//! How large the hidden files of a command can be. No file grows while it is hidden, and bytes do not vanish:
//! what becomes hidden was visible at the search before, or was written since.

use super::hidden::Hidden;

/// A descriptor is under way for a moment in honest programs too. So many searches in a row must find one.
const SEARCHES: u32 = 2;
/// Other programs take and free space of the same disk meanwhile.
const NOISE: u64 = 256 << 20;

/// What a command has to do with the disk, at one check.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Disk {
    /// Bytes written.
    pub(super) written: u64,
    /// Bytes on disk that are visible: of the workspace and of deleted open files.
    pub(super) visible: u64,
    /// The size of the workspace before the command, and what the disk lost since then to no other command.
    pub(super) taken: u64,
}

#[derive(Debug, Default)]
pub(super) struct Bound {
    found: Hidden,
    /// So many searches in a row found something.
    finds: u32,
    /// Whether the last search found more than the one before.
    grows: bool,
    /// The hidden files have at most so many bytes.
    bytes: u64,
    /// At the last search.
    last: Disk,
    /// The size of the workspace before the command.
    before: u64,
}

impl Bound {
    /// `before` is the size of the workspace before the command.
    pub(super) fn new(before: u64) -> Self {
        Self { last: Disk { visible: before, ..Disk::default() }, before, ..Self::default() }
    }

    pub(super) fn add(&mut self, found: Hidden, disk: Disk) {
        self.finds = if found.is_empty() { 0 } else { self.finds + 1 };
        self.grows = found.may_be_more_than(&self.found);
        let written = disk.written.saturating_sub(self.last.written);
        let vanished = (self.last.visible + written).saturating_sub(disk.visible);
        self.bytes = match self.finds {
            0 => 0,
            _ if self.grows => self.bytes + vanished,
            _ => self.bytes,
        };
        (self.found, self.last) = (found, disk);
    }

    /// Bytes written since the last search.
    pub(super) const fn unsearched(&self, disk: &Disk) -> u64 {
        disk.written.saturating_sub(self.last.written)
    }

    /// The command may take more than `max` bytes. The worker does not know what an unreaped
    /// child or an unreadable program writes. Then only the free space of the disk shows it.
    pub(super) fn may_exceed(&self, disk: &Disk, max: u64) -> bool {
        let counted = disk.visible + self.bytes > max && disk.taken.saturating_add(NOISE) > max;
        self.finds > 0 && (counted || (self.grows && disk.taken > max))
    }

    pub(super) fn exceeds(&self, disk: &Disk, max: u64) -> bool {
        self.finds >= SEARCHES && self.may_exceed(disk, max)
    }

    /// For the comparison of commands.
    pub(super) fn hidden(&self, disk: &Disk, is_partial: bool) -> u64 {
        match self.finds {
            0..SEARCHES => 0,
            _ if is_partial => self.bytes.max(disk.taken.saturating_sub(self.before)).max(1),
            _ => self.bytes.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn disk(written: u64, visible: u64, taken: u64) -> Disk {
        Disk { written: written * MB, visible: visible * MB, taken: taken * MB }
    }

    #[test]
    fn each_new_hidden_file_adds_what_vanished() {
        let mut bound = Bound::new(0);
        for n in 1..=4_u64 {
            let now = disk(n * 30, 1, n * 30);
            bound.add(Hidden::of(&[n, n + 1]), now);
            assert_eq!((n, bound.exceeds(&now, 100 * MB)), (n, n == 4));
        }
        assert_eq!(bound.hidden(&disk(120, 1, 0), false), 119 * MB);
        bound.add(Hidden::default(), disk(150, 1, 1));
        assert_eq!(bound.hidden(&disk(150, 1, 1), false), 0);
    }

    #[test]
    fn a_file_that_was_visible_before_counts() {
        let mut bound = Bound::new(90 * MB);
        bound.add(Hidden::default(), disk(0, 90, 90));
        for _ in 0..3 {
            bound.add(Hidden::of(&[1]), disk(20, 0, 110));
        }
        assert!(bound.exceeds(&disk(20, 0, 110), 100 * MB));
    }

    #[test]
    fn an_old_program_that_still_runs_does_not_count_what_is_written_later() {
        let mut bound = Bound::new(50 * MB);
        for n in 0..100 {
            let now = disk(10 + n * 80, 60, 70);
            bound.add(Hidden::of(&[1]), now);
            assert!(!bound.exceeds(&now, 100 * MB), "{n}");
            // Others fill the disk.
            assert!(n == 0 || !bound.exceeds(&disk(10 + n * 80, 60, 900), 100 * MB), "{n}");
        }
    }

    #[test]
    fn without_a_count_the_disk_shows_it() {
        let mut bound = Bound::new(0);
        for _ in 0..3 {
            bound.add(Hidden::others(), disk(0, 0, 110));
        }
        assert!(bound.exceeds(&disk(0, 0, 110), 100 * MB) && !bound.exceeds(&disk(0, 0, 90), 100 * MB));
        assert_eq!(bound.hidden(&disk(0, 0, 110), true), 110 * MB);
    }
}
