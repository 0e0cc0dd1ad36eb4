//! Reads the state of processes from /proc (proc(5)). A hostile process can choose its name. It can also end
//! its first thread while others run: /proc then shows the process as ended, with no memory.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rustix::fs::{MemfdFlags, fstat, memfd_create};

/// Bytes of a memory page on the supported machines.
const PAGE: u64 = 4096;

/// Whether the kernel lists the children of a process.
pub(super) fn can_be_seen() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

/// Bytes in memory of all these processes, with their page tables. A shared page counts once for each
/// process.
pub(super) fn memory_of(processes: &[u32]) -> u64 {
    processes.iter().filter_map(|pid| memory(*pid)).sum()
}

fn memory(pid: u32) -> Option<u64> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let stat = read(process.join("stat"))?;
    if !stat.first_thread_ended {
        return Some(stat.resident + page_tables(&process, &stat));
    }
    let others = threads(pid).into_iter().filter_map(|thread| {
        let stat = read(thread.join("stat"))?;
        Some(stat.resident + page_tables(&thread, &stat))
    });
    others.max()
}

/// Of a process or a thread. A program can have many of them with little memory: the pages that it only reads
/// are one page of zeros.
fn page_tables(directory: &Path, stat: &Stat) -> u64 {
    let status = std::fs::read(directory.join("status")).unwrap_or_default();
    let kilobytes = status.split(|byte| *byte == b'\n').find_map(|line| {
        let value = std::str::from_utf8(line.strip_prefix(b"VmPTE:")?).ok()?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kilobytes.map_or_else(|| stat.most_page_tables(), |kilobytes| kilobytes << 10)
}

/// What a command wrote.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: u64,
    /// Whether a process shows its count.
    pub(super) is_seen: bool,
    /// Whether a process keeps its count to itself: an ordinary user cannot read the count of a program that
    /// may be executed but not read.
    pub(super) is_partial: bool,
}

/// Bytes that these processes wrote to the disk, with the children that they waited for. Writes that a
/// deletion made unnecessary do not count. The first process is bwrap, which writes nothing.
pub(super) fn written_by(processes: &[u32]) -> Written {
    let mut sum = Written::default();
    for pid in processes.iter().skip(1) {
        match written(*pid) {
            Ok(bytes) => (sum.bytes, sum.is_seen) = (sum.bytes + bytes, true),
            Err(Refused) => sum.is_partial = true,
        }
    }
    sum
}

struct Refused;

fn written(pid: u32) -> Result<u64, Refused> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    match count_of(&process) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        count => return Ok(count.unwrap_or_default()),
    }
    // The count of a process belongs to root if its first thread has ended. Those of its threads do not.
    let alive: Vec<_> = threads(pid).into_iter().filter(|thread| is_alive(thread)).collect();
    let counts: Vec<_> = alive.iter().filter_map(|thread| count_of(thread).ok()).collect();
    if counts.is_empty() && alive.iter().any(|thread| is_alive(thread)) {
        return Err(Refused);
    }
    Ok(counts.iter().sum())
}

/// Of a process or a thread.
fn count_of(directory: &Path) -> std::io::Result<u64> {
    let text = std::fs::read_to_string(directory.join("io"))?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    Ok(value("write_bytes:").saturating_sub(value("cancelled_write_bytes:")))
}

/// Whether a process or a thread has not ended.
pub(super) fn is_alive(directory: &Path) -> bool {
    read(directory.join("stat")).is_some_and(|stat| !stat.first_thread_ended)
}

pub(super) fn threads(pid: u32) -> Vec<PathBuf> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path()).collect()
}

/// Bytes on disk of deleted files and directories that these processes have open, execute or work in. Slow:
/// it looks at each open file.
pub(super) fn deleted_files_of(processes: &[u32]) -> u64 {
    let Some(init) = processes.first() else { return 0 };
    // Memory has a bound of its own.
    let [tmp, shm] = ["tmp", "dev/shm"].map(|path| {
        let found = processes.iter().rev().chain([init]);
        let mut found = found.filter_map(|pid| std::fs::metadata(format!("/proc/{pid}/root/{path}")).ok());
        found.next().map(|directory| directory.dev())
    });
    deleted_outside(processes, &[tmp, shm, *MEMFDS])
}

/// The device of memfds. A sandbox begins with a few of them: its script and its filters. They have no name,
/// as a deleted file.
static MEMFDS: LazyLock<Option<u64>> = LazyLock::new(|| {
    let memfd = memfd_create("capi-device", MemfdFlags::CLOEXEC).ok()?;
    Some(fstat(memfd).ok()?.st_dev)
});

fn deleted_outside(processes: &[u32], in_memory: &[Option<u64>]) -> u64 {
    // A thread may have descriptors of its own.
    let threads: Vec<_> = processes.iter().flat_map(|pid| threads(*pid)).collect();
    let directories = threads.iter().filter_map(|thread| std::fs::read_dir(thread.join("fd")).ok());
    let open = directories.flatten().flatten().map(|file| file.path());
    let used = threads.iter().flat_map(|thread| ["exe", "cwd"].map(|name| thread.join(name)));
    let files = open.chain(used).filter_map(|file| std::fs::metadata(file).ok());
    let deleted = files.filter(|file| file.nlink() == 0 && !in_memory.contains(&Some(file.dev())));
    let each_once: HashMap<_, _> =
        deleted.map(|file| ((file.dev(), file.ino()), file.blocks() * 512)).collect();
    each_once.values().sum()
}

/// The children of a process, including zombies.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let lists =
        threads(pid).into_iter().filter_map(|thread| std::fs::read_to_string(thread.join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Of one process or thread.
struct Stat {
    first_thread_ended: bool,
    resident: u64,
    address_space: u64,
}

impl Stat {
    /// The page tables of an address space have at most 8 bytes for each page.
    const fn most_page_tables(&self) -> u64 {
        self.address_space / (PAGE / 8)
    }
}

fn read(stat: impl AsRef<Path>) -> Option<Stat> {
    // A name need not be UTF-8.
    parse(&String::from_utf8_lossy(&std::fs::read(stat).ok()?))
}

/// The fields are counted from the one after the name, because the name may contain any character.
fn parse(stat: &str) -> Option<Stat> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let pages: u64 = fields.get(21)?.parse().ok()?;
    Some(Stat {
        first_thread_ended: matches!(fields[0], "Z" | "X"),
        resident: pages * PAGE,
        address_space: fields[20].parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_fields_of_a_process_are_read() {
        let line = "17 (a) Z 1 (b) R 1 17 17 0 -1 4194560 95 3 0 0 200 30 4 1 20 0 2 0 77 2564096 250 \
                    18446744073709551615 1";
        let stat = parse(line).unwrap();
        assert_eq!((stat.first_thread_ended, stat.resident), (false, 1_024_000));
        assert_eq!(stat.most_page_tables(), 5008);
        assert!(parse(&line.replace(") R", ") Z")).unwrap().first_thread_ended);
        assert!(parse("17 (a) R 1").is_none());
    }

    #[test]
    fn page_tables_are_those_that_the_kernel_counts() {
        let own = PathBuf::from("/proc/self");
        let stat = read(own.join("stat")).unwrap();
        let counted = page_tables(&own, &stat);
        assert!(counted > 16 << 10 && counted < stat.resident, "{counted}");
        let unknown = page_tables(Path::new("/nowhere"), &stat);
        assert_eq!(unknown, stat.most_page_tables());
    }

    #[test]
    fn the_name_of_a_thread_hides_nothing() {
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let (send_id, id) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            rustix::thread::set_name(c"a\xff) S").unwrap();
            send_id.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
            let _ = finished.recv();
        });
        let (own, id) = (std::process::id(), id.recv().unwrap());
        let stat = read(format!("/proc/{own}/task/{id}/stat")).unwrap();
        assert!(stat.resident > 1 << 20 && memory_of(&[own]) > 1 << 20);
        drop(finish);
        thread.join().unwrap();
    }

    #[test]
    fn deleted_files_count_also_if_they_are_only_executed_or_worked_in() {
        // Not in /tmp: a file system in memory has no blocks.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let (program, work) = (dir.path().join("program"), dir.path().join("work"));
        // This process must not write it: a child that another test starts meanwhile would keep it open.
        let copied = std::process::Command::new("/bin/cp").arg("/bin/sleep").arg(&program).status().unwrap();
        assert!(copied.success());
        std::fs::create_dir(&work).unwrap();
        let mut child = std::process::Command::new(&program).arg("100").current_dir(&work).spawn().unwrap();
        let size = |path: &Path| std::fs::metadata(path).unwrap().blocks() * 512;
        let (of_program, of_work) = (size(&program), size(&work));
        let deleted = || deleted_outside(&[child.id()], &[]);
        assert_eq!(deleted(), 0);
        std::fs::remove_file(&program).unwrap();
        assert_eq!(deleted(), of_program);
        std::fs::remove_dir(&work).unwrap();
        assert_eq!(deleted(), of_program + of_work);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn what_a_sandbox_begins_with_is_no_deleted_file() {
        // A child that another test starts meanwhile must not inherit it.
        let mut memfd = std::fs::File::from(memfd_create("script", MemfdFlags::CLOEXEC).unwrap());
        memfd.write_all(&[1; 10_000]).unwrap();
        let mut child = std::process::Command::new("/bin/sleep").arg("100").stdin(memfd).spawn().unwrap();
        assert!(deleted_outside(&[child.id()], &[]) > 0);
        assert_eq!(deleted_files_of(&[child.id()]), 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_ended_hides_no_count() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let id = child.id();
        while is_alive(&PathBuf::from(format!("/proc/{id}"))) {
            std::thread::yield_now();
        }
        assert!(!written_by(&[1, id]).is_partial);
        child.wait().unwrap();
        let own = written_by(&[1, std::process::id()]);
        assert!(own.is_seen && !own.is_partial);
    }
}
