//! Reads the state of processes from /proc (proc(5)). A hostile process can choose its name. It can also end
//! its first thread while others run: /proc then shows the process as ended, with no memory.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a memory page on the supported machines.
const PAGE: u64 = 4096;

/// Whether the kernel lists the children of a process.
pub(super) fn can_be_seen() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

/// Bytes in memory of all these processes, with their page tables. A shared page counts once for each
/// process.
pub(super) fn memory_of(processes: &[u32]) -> u64 {
    processes.iter().filter_map(|pid| Some(memory(*pid, &read(format!("/proc/{pid}/stat"))?))).sum()
}

fn memory(pid: u32, stat: &Stat) -> u64 {
    if !stat.first_thread_ended {
        return stat.memory();
    }
    let others = threads(pid).into_iter().filter_map(|thread| read(thread.join("stat")));
    others.map(|thread| thread.memory()).max().unwrap_or_default()
}

/// Bytes that these processes wrote to the disk, with the children that they waited for. Writes that a
/// deletion made unnecessary do not count.
pub(super) fn written_by(processes: &[u32]) -> u64 {
    processes.iter().filter_map(|pid| written(&format!("/proc/{pid}/io"))).sum()
}

fn written(io: &str) -> Option<u64> {
    let text = std::fs::read_to_string(io).ok()?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    Some(value("write_bytes:")?.saturating_sub(value("cancelled_write_bytes:")?))
}

/// Whether the kernel counts what a process writes. The worker is not dumpable, so it may not read its own
/// count.
pub(super) fn writes_can_be_seen() -> bool {
    Path::new("/proc/self/io").exists()
}

pub(super) fn threads(pid: u32) -> Vec<PathBuf> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path()).collect()
}

/// Bytes on disk of deleted files that these processes have open. Slow: it looks at each open file.
pub(super) fn deleted_files_of(processes: &[u32]) -> u64 {
    // A thread may have descriptors of its own.
    let threads = processes.iter().flat_map(|pid| threads(*pid));
    let directories = threads.filter_map(|thread| std::fs::read_dir(thread.join("fd")).ok());
    let open = directories.flatten().flatten().filter_map(|file| std::fs::metadata(file.path()).ok());
    let deleted = open.filter(|file| file.is_file() && file.nlink() == 0);
    let each_once: HashMap<_, _> =
        deleted.map(|file| ((file.dev(), file.ino()), file.blocks() * 512)).collect();
    each_once.values().sum()
}

/// The children of a process, including zombies.
pub(super) fn children(pid: u32) -> Vec<u32> {
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
    const fn memory(&self) -> u64 {
        self.resident + self.address_space / (PAGE / 8)
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

    #[test]
    fn the_fields_of_a_process_are_read() {
        let line = "17 (a) Z 1 (b) R 1 17 17 0 -1 4194560 95 3 0 0 200 30 4 1 20 0 2 0 77 2564096 250 \
                    18446744073709551615 1";
        let stat = parse(line).unwrap();
        assert_eq!((stat.first_thread_ended, stat.resident), (false, 1_024_000));
        assert_eq!(stat.memory(), 1_024_000 + 5008);
        assert!(parse(&line.replace(") R", ") Z")).unwrap().first_thread_ended);
        assert!(parse("17 (a) R 1").is_none());
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
}
