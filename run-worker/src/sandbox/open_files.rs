//! What the kernel keeps for the open files of a command, beside the files: locks of ranges, the entries of
//! epoll, and the texts of files of /proc that were read.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::processes::threads;

/// What the kernel needs for a mapping, for a lock of a range of a file, and for an entry of epoll.
pub(super) const KERNEL_OBJECT: u64 = 256;
/// Of the information about an open file: 10,000 locks.
const MAX_INFO: u64 = 1 << 20;
/// The longest text of a file of /proc on the supported machines, if nothing that a command does is in it.
const USUAL_TEXT: u64 = 32 << 10;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenFiles {
    /// Locks and entries of epoll. Processes that share an open file count each for itself.
    pub(super) objects: u64,
    /// Open files of /proc.
    texts: u64,
    /// Bytes of the longest information about an open file. Its reader holds it until it closes that file.
    longest: u64,
}

impl OpenFiles {
    /// Bytes of memory. `longest` is the most that the command had at any time.
    pub(super) const fn memory(&self, longest: u64) -> u64 {
        // The kernel doubles the room for a text until it fits.
        self.objects * KERNEL_OBJECT + self.texts * (USUAL_TEXT + 2 * longest)
    }

    pub(super) const fn longest(&self) -> u64 {
        self.longest
    }
}

/// Of all these processes. Stops counting objects above `max`.
pub(super) fn open_files_of(processes: &[u32], max: u64) -> OpenFiles {
    let (mut sum, mut info) = (OpenFiles::default(), Vec::new());
    for pid in processes {
        let Some((process, open)) = table_of(*pid) else { continue };
        for number in open {
            if sum.objects > max {
                return sum;
            }
            info.clear();
            let file = File::open(process.join("fdinfo").join(&number));
            if file.and_then(|file| file.take(MAX_INFO).read_to_end(&mut info)).is_err() {
                continue;
            }
            sum.objects += if info.len() as u64 == MAX_INFO { max + 1 } else { objects_in(&info) };
            sum.longest = sum.longest.max(info.len() as u64);
            sum.texts += u64::from(is_of_proc(&process.join("fd").join(&number)));
        }
    }
    sum
}

/// A process, or a thread of it, with the numbers of its open files. All threads of a process share them, but
/// a thread that has ended shows none.
fn table_of(pid: u32) -> Option<(PathBuf, Vec<std::ffi::OsString>)> {
    let open = |process: PathBuf| {
        let found = fs::read_dir(process.join("fdinfo")).ok()?;
        let numbers: Vec<_> = found.flatten().map(|file| file.file_name()).collect();
        (!numbers.is_empty()).then_some((process, numbers))
    };
    open(PathBuf::from(format!("/proc/{pid}"))).or_else(|| threads(pid).into_iter().find_map(open))
}

fn objects_in(info: &[u8]) -> u64 {
    let lines = info.split(|byte| *byte == b'\n');
    lines.filter(|line| line.starts_with(b"lock:") || line.starts_with(b"tfd:")).count() as u64
}

/// Inside a sandbox, nothing else is mounted at that path.
fn is_of_proc(file: &Path) -> bool {
    fs::read_link(file).is_ok_and(|target| target.starts_with("/proc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_entries_of_epoll_and_texts_are_counted_up_to_the_limit() {
        let script = "
import fcntl, os, select, sys
file = open('/proc/self/exe', 'rb')
locked = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for n in range(3000): fcntl.lockf(locked, fcntl.LOCK_EX, 1, 2 * n)
poll, pipe = select.epoll(), os.pipe()[0]
for n in range(100, 200):
    os.dup2(pipe, n); poll.register(n); os.close(n)
text = open('/proc/self/stat')
print('ready', flush=True)
sys.stdin.read()
";
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("/usr/bin/python3")
            .args(["-c", script])
            .arg(dir.path().join("locked"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        let all = open_files_of(&[child.id()], 10_000);
        assert_eq!((all.objects, all.texts), (3100, 1), "{all:?}");
        assert!(all.longest > 100_000 && all.memory(all.longest) > 3100 * KERNEL_OBJECT + 200_000);
        assert!((1001..=3100).contains(&open_files_of(&[child.id()], 1000).objects));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
