//! Files on the disk that neither the workspace nor a descriptor shows: a deleted file that is only mapped,
//! or one whose descriptor is under way in a Unix socket (SCM_RIGHTS). Only the bytes written bound their
//! size. An honest program rarely has one. The worker searches only once a command has written more than
//! its workspace may hold.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{major, minor};

use super::processes::threads;

/// The list of mappings is read up to here: 10,000 mappings. What has more could also hide a file.
const MAX_MAPS: u64 = 1 << 20;

/// Whether these processes hold such a file.
pub(super) fn hides_files(processes: &[u32]) -> bool {
    let Some(init) = processes.first() else { return false };
    let in_memory = ["tmp", "dev/shm"].map(|path| device_of(&format!("/proc/{init}/root/{path}")));
    processes.iter().any(|pid| maps_a_deleted_file(*pid, &in_memory) || has_files_under_way(*pid))
}

/// As the list of mappings shows it.
fn device_of(path: &str) -> Option<String> {
    let device = fs::metadata(path).ok()?.dev();
    Some(format!("{:02x}:{:02x}", major(device), minor(device)))
}

fn maps_a_deleted_file(pid: u32, in_memory: &[Option<String>]) -> bool {
    let Ok(maps) = File::open(format!("/proc/{pid}/maps")) else { return false };
    let mut list = Vec::new();
    // The read fails if the process ended meanwhile.
    let _ = maps.take(MAX_MAPS).read_to_end(&mut list);
    let is_cut = list.len() as u64 == MAX_MAPS;
    is_cut || String::from_utf8_lossy(&list).lines().any(|line| is_deleted_file(line, in_memory))
}

/// `ADDRESSES RIGHTS OFFSET DEVICE INODE PATH (deleted)`
fn is_deleted_file(line: &str, in_memory: &[Option<String>]) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let (device, path) = (fields.nth(3).unwrap_or_default(), fields.nth(1).unwrap_or_default());
    // Memory that processes share has this path.
    line.ends_with(" (deleted)")
        && path != "/dev/zero"
        && !in_memory.iter().flatten().any(|other| other == device)
}

fn has_files_under_way(pid: u32) -> bool {
    threads(pid).iter().any(|thread| {
        // An ordinary user cannot list those of bwrap, which are harmless.
        let Ok(open) = fs::read_dir(thread.join("fd")) else { return false };
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
mod tests {
    use super::*;

    #[test]
    fn only_deleted_files_of_a_disk_count() {
        let memory = [Some("00:45".to_owned()), None];
        for (line, is_hidden) in [
            ("7f00-7f01 r--s 00000000 fe:00 1234 /workspace/x (deleted)", true),
            ("7f00-7f01 r--s 00000000 fe:00 1234 /workspace/x y (deleted)", true),
            ("7f00-7f01 r--s 00000000 fe:00 1234 /workspace/x", false),
            ("7f00-7f01 rw-s 00000000 00:45 1234 /tmp/x (deleted)", false),
            ("7f00-7f01 rw-s 00000000 00:01 1234 /dev/zero (deleted)", false),
            ("7f00-7f01 rw-p 00000000 00:00 0", false),
        ] {
            assert_eq!(is_deleted_file(line, &memory), is_hidden, "{line}");
        }
    }

    #[test]
    fn an_honest_process_hides_nothing() {
        let own = [std::process::id()];
        assert!(!has_files_under_way(own[0]));
        let missing = [None, None];
        assert!(!maps_a_deleted_file(own[0], &missing));
    }
}
