//! The processes of a group.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

/// Where they are listed.
#[derive(Debug)]
pub(in crate::sandbox) struct Members(PathBuf);

impl Members {
    pub(super) const fn new(list: PathBuf) -> Self {
        Self(list)
    }

    /// Their ids outside.
    pub(in crate::sandbox) fn read(&self) -> Vec<u32> {
        let listed = fs::read_to_string(&self.0).unwrap_or_default();
        listed.lines().filter_map(|id| id.parse().ok()).collect()
    }

    /// Takes in those of these processes who are not in it. Whether there were none: then nobody can come any more who is not born inside.
    /// The kernel may take a hundredth of a second for the first of them.
    pub(in crate::sandbox) fn take_in(&self, processes: &[u32]) -> bool {
        let inside: HashSet<_> = self.read().into_iter().collect();
        let mut outside = processes.iter().filter(|process| !inside.contains(process)).peekable();
        let nobody = outside.peek().is_none();
        for process in outside {
            // Who is gone need not come.
            let _ = fs::write(&self.0, process.to_string());
        }
        nobody
    }
}
