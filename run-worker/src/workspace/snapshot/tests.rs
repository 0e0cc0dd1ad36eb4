//! Snapshots of a directory, with packs in memory.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use shared::storage::PackId;

use super::*;

const QUOTA: Quota = Quota { bytes: 1 << 30, entries: 1000, depth: 10 };

struct Rig {
    dir: tempfile::TempDir,
    tagger: Tagger,
    last: Content,
    packs: BTreeMap<PackId, Vec<u8>>,
    seq: i64,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("w/inputs")).unwrap();
        let tagger = Tagger::new().unwrap();
        Self { dir, tagger, last: Content::default(), packs: BTreeMap::new(), seq: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("w").join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Stores a snapshot. Returns the bytes of its new packs, or None if nothing changed.
    fn save(&mut self) -> Option<usize> {
        self.seq += 1;
        let (mut bytes, packs) = (0, &mut self.packs);
        let mut store = |id, pack: Vec<u8>| {
            bytes += pack.len();
            assert!(packs.insert(id, pack).is_none(), "no pack is overwritten");
            Ok(())
        };
        let mut new = Packs::new(1, self.seq, &mut store);
        let probe = self.dir.path().join("probe");
        let workspace = self.dir.path().join("w");
        match look(&workspace, &probe, &self.last, &self.tagger, &QUOTA, &mut new).unwrap() {
            Looked::Same(content) => {
                self.last = content;
                assert_eq!(bytes, 0);
                None
            }
            Looked::Changed(content) => {
                self.last = content;
                self.packs.retain(|id, _| self.last.packs.contains_key(id));
                Some(bytes)
            }
        }
    }

    /// Restores the last snapshot into a new directory.
    fn restore(&self) -> Result<PathBuf, PackId> {
        let to = self.dir.path().join(format!("restored-{}", self.seq));
        fs::create_dir(&to).unwrap();
        let content = decode(&encode(&self.last).unwrap(), &QUOTA).unwrap();
        assert!(content.is_same(&self.last));
        let mut restore = Restore::begin(&to, content, None).unwrap();
        for (id, size) in restore.packs() {
            assert_eq!(self.packs[&id].len() as u64, size);
            if !restore.write(id, &self.packs[&id]).unwrap() {
                return Err(id);
            }
        }
        restore.finish().unwrap();
        Ok(to)
    }

    fn assert_restorable(&self) {
        let to = self.restore().unwrap();
        assert_eq!(tree(&to), tree(&self.path("")));
        fs::remove_dir_all(to).unwrap();
    }
}

/// Execute bit, time and content of a file; None for a directory.
type Shown = Option<(bool, i64, i64, Vec<u8>)>;

/// All files and directories.
fn tree(top: &Path) -> BTreeMap<PathBuf, Shown> {
    let (mut found, mut open) = (BTreeMap::new(), vec![top.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            let (stat, name) = (fs::symlink_metadata(&entry).unwrap(), entry.strip_prefix(top).unwrap());
            if name == Path::new("inputs") {
                continue;
            }
            if stat.is_dir() {
                found.insert(name.to_owned(), None);
                open.push(entry);
            } else if stat.is_file() {
                let content = fs::read(&entry).unwrap();
                let shown = (stat.mode() & 0o100 != 0, stat.mtime(), stat.mtime_nsec(), content);
                found.insert(name.to_owned(), Some(shown));
            }
        }
    }
    found
}

/// Does not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut noise).unwrap();
    noise
}

/// So that the file system's clock has gone on.
fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn only_files_and_directories_are_restored() {
    let mut rig = Rig::new();
    assert_eq!(rig.save(), None, "an empty workspace needs no snapshot");
    fs::create_dir_all(rig.path("a/empty")).unwrap();
    rig.write("a/run.sh", "#!/bin/sh");
    fs::set_permissions(rig.path("a/run.sh"), fs::Permissions::from_mode(0o4711)).unwrap();
    rig.write(&"x".repeat(200), vec![0; 3_000_000]);
    rig.write("unreadable", "x");
    rig.write("nothing", "");
    let odd = std::ffi::OsString::from_vec(b"100%\xff\n".to_vec());
    fs::write(rig.path("a").join(odd), "odd").unwrap();
    fs::set_permissions(rig.path("unreadable"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::File::open(rig.path("nothing")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    rig.write("inputs/a.csv", "not the run's");
    symlink("/etc/passwd", rig.path("link")).unwrap();
    mknodat(CWD, rig.path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert!(rig.save().unwrap() < 2000, "compressed");
    rig.assert_restorable();
    let to = rig.restore().unwrap();
    assert_eq!(fs::metadata(to.join("a/run.sh")).unwrap().mode() & 0o7777, 0o755, "no setuid");
    assert!(!to.join("link").exists() && !to.join("fifo").exists() && !to.join("inputs").exists());
}

/// Bar P12, with a generous deadline: the old snapshot of 200 MB took seconds.
#[test]
fn p12_a_snapshot_costs_what_changed() {
    let mut rig = Rig::new();
    rig.write("large", noise(200 << 20));
    assert!(rig.save().unwrap() > 200 << 20);
    settle();
    rig.save();
    let mut file = OpenOptions::new().write(true).open(rig.path("large")).unwrap();
    file.seek(SeekFrom::Start(123_456_789)).unwrap();
    file.write_all(b"!").unwrap();
    let begun = Instant::now();
    let bytes = rig.save().unwrap();
    let took = begun.elapsed();
    assert!(bytes < 2 << 20, "one chunk is stored, not {bytes} bytes");
    assert!(took < Duration::from_secs(2), "{took:?}");
    settle();
    rig.save();
    rig.write("small", "x");
    let begun = Instant::now();
    assert!(rig.save().unwrap() < 100);
    let took = (took, begun.elapsed());
    assert!(took.1 < Duration::from_millis(500), "the large file is not read: {took:?}");
    eprintln!("one byte of 200 MB: {:?}; one file beside 200 MB: {:?}", took.0, took.1);
}

#[test]
fn renamed_and_touched_files_are_not_stored_again() {
    let mut rig = Rig::new();
    fs::create_dir(rig.path("d")).unwrap();
    rig.write("d/a", noise(3 << 20));
    rig.save().unwrap();
    fs::rename(rig.path("d"), rig.path("e")).unwrap();
    fs::copy(rig.path("e/a"), rig.path("copy")).unwrap();
    assert_eq!(rig.save(), Some(0));
    fs::File::open(rig.path("copy")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(rig.save(), Some(0), "the time is part of the snapshot");
    rig.write("gone", "x");
    fs::remove_file(rig.path("gone")).unwrap();
    assert_eq!(rig.save(), None);
    rig.assert_restorable();
}

/// A change right after a snapshot may have the same ctime and size.
#[test]
fn a_change_in_the_same_tick_is_found() {
    let mut rig = Rig::new();
    for at in 0..200_u32 {
        rig.write("a", at.to_le_bytes());
        rig.save().unwrap();
        rig.assert_restorable();
    }
}

#[test]
fn a_corrupted_pack_is_refused() {
    let mut rig = Rig::new();
    rig.write("a", noise(3 << 20));
    rig.save().unwrap();
    let (id, pack) = rig.packs.iter_mut().next().unwrap();
    let (id, at) = (*id, pack.len() / 2);
    pack[at] ^= 1;
    assert_eq!(rig.restore(), Err(id));
    rig.packs.get_mut(&id).unwrap().truncate(at);
    let mut restore = Restore::begin(&rig.path("inputs"), rig.last.clone(), None).unwrap();
    assert!(!restore.write(id, &rig.packs[&id]).unwrap());
    let mut manifest = encode(&rig.last).unwrap();
    manifest.truncate(20);
    assert!(decode(&manifest, &QUOTA).is_err());
    assert!(decode(&encode(&rig.last).unwrap(), &Quota { bytes: 1 << 20, ..QUOTA }).is_err());
}

/// Random changes: each snapshot restores exactly, and the store holds at most about twice the workspace.
#[test]
fn random_changes_restore_exactly_and_old_packs_go() {
    let mut rig = Rig::new();
    let random = |below: usize| rand::random_range(0..below);
    for round in 0..120 {
        for _ in 0..=random(4) {
            let dir = rig.path(&format!("d{}", random(3)));
            let path = dir.join(random(8).to_string());
            match random(6) {
                0 => drop(fs::remove_file(&path)),
                1 if random(4) == 0 => drop(fs::remove_dir_all(&dir)),
                2 => drop(fs::rename(&path, dir.join(random(8).to_string()))),
                3 => {
                    if let Ok(mut file) = OpenOptions::new().write(true).open(&path) {
                        let size = usize::try_from(file.metadata().unwrap().len()).unwrap();
                        file.seek(SeekFrom::Start(random(size + 1) as u64)).unwrap();
                        file.write_all(&noise(random(300))).unwrap();
                    }
                }
                4 => {
                    if let Ok(file) = OpenOptions::new().write(true).open(&path) {
                        file.set_len(random(3 << 20) as u64).unwrap();
                    }
                }
                _ => {
                    fs::create_dir_all(&dir).unwrap();
                    fs::write(&path, noise(random(if random(3) == 0 { 3 << 20 } else { 2000 }))).unwrap();
                }
            }
        }
        rig.save();
        if round % 4 == 0 {
            rig.assert_restorable();
        }
    }
    rig.assert_restorable();
    let live: usize = tree(&rig.path("")).values().flatten().map(|(.., content)| content.len()).sum();
    let stored: usize = rig.packs.values().map(Vec::len).sum();
    assert!(stored <= 2 * live + (1 << 20), "{stored} bytes stored for {live}");
}

#[test]
fn many_small_snapshots_make_few_objects() {
    let mut rig = Rig::new();
    for at in 0..200 {
        rig.write(&at.to_string(), noise(1000));
        rig.save().unwrap();
    }
    assert!(rig.packs.len() < 70, "{} packs", rig.packs.len());
    rig.assert_restorable();
}

#[test]
fn what_exceeds_the_quota_is_not_read() {
    let rig = Rig::new();
    let sparse = fs::File::create(rig.path("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let mut store = |_, _| Err(io::Error::other("nothing is stored"));
    let mut packs = Packs::new(1, 1, &mut store);
    let looked =
        look(&rig.path(""), &rig.dir.path().join("probe"), &rig.last, &rig.tagger, &QUOTA, &mut packs);
    let exceeded = QuotaExceeded::Bytes(1 << 30);
    assert!(matches!(looked, Err(WorkspaceError::QuotaExceeded(found)) if found == exceeded));
}
