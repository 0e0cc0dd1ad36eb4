//! The processes of a group.

use std::collections::HashSet;
use std::path::PathBuf;
use std::{fs, io};

use rustix::io::Errno;

use super::Cgroup;
use crate::sandbox::processes::is_alive;
use crate::sandbox::tree::Tree;

/// Who forks may have a child outside when he comes in himself; but who comes in after the first is in at once.
const PASSES: usize = 5;

impl Cgroup {
    pub(super) fn list(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Their ids outside.
    pub(in crate::sandbox) fn members(&self) -> Vec<u32> {
        let listed = fs::read_to_string(self.list()).unwrap_or_default();
        listed.lines().filter_map(|id| id.parse().ok()).collect()
    }

    /// Takes in a sandbox's processes but for the first. All of them, and whether they are in it now, as far as can be seen: who forks faster than
    /// he can be followed is not. The kernel takes up to 15 ms for the first of them, in which nobody else can join a group.
    pub(in crate::sandbox) fn take_in(&self, tree: &Tree) -> io::Result<(Vec<u32>, bool)> {
        let mut found = Vec::new();
        for _ in 0..PASSES {
            let inside: HashSet<_> = self.members().into_iter().collect();
            found = tree.members();
            let mut outside =
                found.iter().skip(1).filter(|pid| !inside.contains(pid) && is_alive(**pid)).peekable();
            if outside.peek().is_none() {
                let is_there = !found.is_empty();
                return Ok((found, is_there));
            }
            outside.map(|pid| self.take_one(*pid, tree.init())).fold(Ok(()), io::Result::and)?;
        }
        Ok((found, false))
    }

    fn take_one(&self, pid: u32, init: u32) -> io::Result<()> {
        let written = fs::write(self.list(), pid.to_string());
        // If its number was meanwhile given to a stranger, he goes back.
        if let (Some(its), Some(ours)) = (namespace(pid), namespace(init))
            && its != ours
        {
            let _ = fs::write(self.path.with_file_name("cgroup.procs"), pid.to_string());
        }
        match written {
            // Who is gone need not come.
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
            written => written,
        }
    }
}

fn namespace(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
