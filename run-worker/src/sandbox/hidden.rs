//! Files on the disk that neither the workspace nor a descriptor shows: a deleted file that is only mapped,
//! or one whose descriptor is under way in a Unix socket (SCM_RIGHTS). Honest programs have some too: a
//! program that runs while it is built again, a library that is replaced. So a find alone ends nothing:
//! `bound` says how large such files can be.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::processes::{is_alive, threads};
use super::tree::ProcessTree;
use crate::workspace::INSIDE as WORKSPACE;

/// The list of mappings is read up to here: 10,000 mappings. What has more could also hide a file.
const MAX_MAPS: u64 = 1 << 20;
/// Of a process, by the kernel (vm.max_map_count). A list that is not read to its end counts as this many.
const MAX_MAPPINGS: u64 = 65_530;

/// What a search found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Deleted files of the workspace that are mapped, by device and inode.
    files: HashSet<String>,
    /// Whether there are others that the worker cannot tell apart.
    has_others: bool,
}

impl Hidden {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.has_others
    }

    /// Whether this can be more than was found `before`. A file that is only mapped cannot grow.
    pub(super) fn may_be_more_than(&self, before: &Self) -> bool {
        self.has_others || !self.files.is_subset(&before.files)
    }
}

/// Searches the processes of a command. Also returns the number of their mappings.
pub(super) fn search(tree: &ProcessTree) -> (Hidden, u64) {
    let (mut found, mut mappings) = (Hidden::default(), 0);
    // The first is bwrap, which is harmless. An ordinary user cannot look into it.
    for pid in tree.members().iter().skip(1) {
        mappings += add_mapped_files(*pid, &mut found);
        found.has_others |= has_files_under_way(*pid);
    }
    // If the command is over, the kernel may have given the ids to other processes.
    if tree.is_gone() { Default::default() } else { (found, mappings) }
}

/// Returns the number of mappings.
fn add_mapped_files(pid: u32, found: &mut Hidden) -> u64 {
    let own = read_list(&Path::new("/proc").join(pid.to_string()).join("maps"));
    // The list of an ended first thread is empty. Its other threads have one.
    let list = if own.is_empty() {
        threads(pid).iter().map(|thread| read_list(&thread.join("maps"))).find(|list| !list.is_empty())
    } else {
        Some(own)
    };
    let list = list.unwrap_or_default();
    let is_cut = list.len() as u64 == MAX_MAPS;
    found.has_others |= is_cut;
    found.files.extend(String::from_utf8_lossy(&list).lines().filter_map(deleted_file));
    if is_cut { MAX_MAPPINGS } else { list.split(|byte| *byte == b'\n').count() as u64 }
}

/// Empty if the process ended meanwhile.
fn read_list(maps: &Path) -> Vec<u8> {
    let mut list = Vec::new();
    if let Ok(maps) = File::open(maps) {
        let _ = maps.take(MAX_MAPS).read_to_end(&mut list);
    }
    list
}

/// `ADDRESSES RIGHTS OFFSET DEVICE INODE PATH (deleted)`: device and inode. Only the workspace is a disk that
/// a command can write to.
fn deleted_file(line: &str) -> Option<String> {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let (device, inode, path) = (fields.next()?, fields.next()?, fields.next()?);
    let inside = path.strip_prefix(WORKSPACE)?.starts_with('/');
    (inside && line.ends_with(" (deleted)")).then(|| format!("{device} {inode}"))
}

fn has_files_under_way(pid: u32) -> bool {
    threads(pid).iter().any(|thread| {
        let open = match fs::read_dir(thread.join("fd")) {
            Ok(open) => open,
            // A program that its user may execute but not read keeps its descriptors to itself.
            Err(error) => return error.kind() == ErrorKind::PermissionDenied && is_alive(thread),
        };
        open.flatten().any(|fd| {
            fs::metadata(fd.path()).is_ok_and(|file| file.file_type().is_socket())
                && holds_descriptors(&thread.join("fdinfo").join(fd.file_name()))
        })
    })
}

/// Of a socket: whether descriptors wait in it for their receiver.
fn holds_descriptors(info: &Path) -> bool {
    let info = fs::read_to_string(info).unwrap_or_default();
    info.lines().any(|line| line.strip_prefix("scm_fds:").is_some_and(|count| count.trim() != "0"))
}

#[cfg(test)]
impl Hidden {
    pub(super) fn of(inodes: &[u64]) -> Self {
        Self { files: inodes.iter().map(ToString::to_string).collect(), has_others: false }
    }

    pub(super) fn others() -> Self {
        Self { has_others: true, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deleted_files_of_the_workspace_count() {
        for (line, is_hidden) in [
            ("7f00-7f01 r--s 00000000 fe:00 1234 /workspace/x (deleted)", true),
            ("7f00-7f01 r--s 00000000 fe:00 1234 /workspace/x y (deleted)", true),
            ("7f00-7f01 r--s 00000000 fe:00 1234 /workspace/x", false),
            ("7f00-7f01 r-xp 00000000 fe:00 1234 /usr/lib/libc.so.6 (deleted)", false),
            ("7f00-7f01 rw-s 00000000 00:45 1234 /tmp/x (deleted)", false),
            ("7f00-7f01 rw-s 00000000 00:01 1234 /dev/zero (deleted)", false),
            ("7f00-7f01 rw-p 00000000 00:00 0", false),
        ] {
            assert_eq!(deleted_file(line).is_some(), is_hidden, "{line}");
        }
    }

    #[test]
    fn an_honest_process_hides_nothing() {
        assert!(!has_files_under_way(std::process::id()));
        let mut found = Hidden::default();
        assert!(add_mapped_files(std::process::id(), &mut found) > 10);
        assert!(found.is_empty());
    }

    #[test]
    fn only_another_file_can_be_more() {
        let before = Hidden::of(&[2, 3]);
        assert!(!Hidden::of(&[2]).may_be_more_than(&before));
        assert!(Hidden::of(&[2, 4]).may_be_more_than(&before));
        assert!(Hidden::others().may_be_more_than(&before));
    }
}
