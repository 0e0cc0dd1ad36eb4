//! Snapshots in a store: a takeover continues from them, and what they replace is deleted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use run_worker::workspace::{Format, Home, Quota, QuotaExceeded, Snapshot, Workspace, WorkspaceError};
use shared::ids::RunId;
use shared::runs::events::{EventData, StoredSnapshot};
use shared::storage::{Artifacts, ObjectKey, hex};

const QUOTA: Quota = Quota { bytes: 100 << 20, entries: 1000, depth: 10 };

struct Rig {
    _dir: tempfile::TempDir,
    store: Artifacts,
    objects: PathBuf,
    home: Arc<Home>,
    run: RunId,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let objects = dir.path().join("store");
        let store = Artifacts::open(&url::Url::from_directory_path(&objects).unwrap()).unwrap();
        let home = Arc::new(Home::make(dir.path(), 65_533).unwrap());
        Self { _dir: dir, store, objects, home, run: RunId::generate() }
    }

    fn attempt(&self, attempt: i32) -> Workspace {
        Workspace::make(&self.home, self.run, attempt, QUOTA).unwrap()
    }

    async fn save(&self, workspace: &Workspace, attempt: i32, seq: i64) -> Option<Snapshot> {
        workspace.save(&self.store, (self.run, attempt), seq).await.unwrap()
    }

    async fn keys(&self) -> Vec<ObjectKey> {
        let mut keys: Vec<_> =
            self.store.list(Some(self.run)).map(|object| object.unwrap().key).collect().await;
        keys.sort();
        keys
    }
}

fn write(workspace: &Workspace, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(workspace.mounts().workspace.join(name), bytes).unwrap();
}

fn read(workspace: &Workspace, name: &str) -> Vec<u8> {
    fs::read(workspace.mounts().workspace.join(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_continues_and_replaced_objects_go() {
    let rig = Rig::new();
    let first = rig.attempt(1);
    assert_eq!(rig.save(&first, 1, 3).await, None, "nothing was written");
    write(&first, "kept", vec![7; 3 << 20]);
    write(&first, "old", "1");
    let snapshot = rig.save(&first, 1, 4).await.unwrap();
    assert_eq!(rig.save(&first, 1, 5).await, None, "nothing changed");
    write(&first, "old", "22");
    let newer = rig.save(&first, 1, 6).await.unwrap();
    // The event was never recorded: a takeover continues from the snapshot before it.
    let second = rig.attempt(2);
    second.restore(&rig.store, &Snapshot::read(rig.run, &snapshot.stored()).unwrap()).await.unwrap();
    assert_eq!((read(&second, "kept"), read(&second, "old")), (vec![7; 3 << 20], b"1".to_vec()));
    assert_eq!(rig.save(&second, 2, 7).await, None, "restoring changes nothing");
    write(&second, "new", "3");
    let last = rig.save(&second, 2, 8).await.unwrap();
    let replaced = second.take_replaced();
    assert!(replaced.contains(&snapshot.key), "{replaced:?}");
    for key in replaced {
        rig.store.delete(&key).await.unwrap();
    }
    let third = rig.attempt(3);
    third.restore(&rig.store, &last).await.unwrap();
    assert_eq!((read(&third, "kept").len(), read(&third, "old")), (3 << 20, b"1".to_vec()));
    assert_eq!(read(&third, "new"), b"3");
    let keys = rig.keys().await;
    assert!(third.snapshot_keys(rig.run).iter().all(|key| keys.contains(key)), "{keys:?}");
    assert!(keys.contains(&newer.key), "only the worker that took over deletes it");
}

/// The model may clean up, also after a takeover.
#[tokio::test(flavor = "multi_thread")]
async fn an_over_full_workspace_is_stored_and_what_no_snapshot_may_hold_is_undone() {
    let rig = Rig::new();
    let small = Quota { bytes: 1 << 20, ..QUOTA };
    let attempt = |number| Workspace::make(&rig.home, rig.run, number, small).unwrap();
    let first = attempt(1);
    write(&first, "kept", "1");
    rig.save(&first, 1, 3).await.unwrap();
    assert!(first.over_full().unwrap().is_none());
    assert_eq!(first.quota_to_begin().unwrap(), small);
    write(&first, "large", vec![7; 2 << 20]);
    let over = rig.save(&first, 1, 4).await.unwrap();
    let found = first.over_full().unwrap().unwrap();
    assert_eq!(found.exceeded, QuotaExceeded::Bytes(small.bytes));
    assert_eq!(found.largest[0].0, Path::new("large"));
    let quota = first.quota_to_begin().unwrap();
    assert!(quota.bytes > 2 << 20 && quota.bytes < 3 << 20, "it may not grow: {quota:?}");

    let second = attempt(2);
    second.restore(&rig.store, &over).await.unwrap();
    assert_eq!(read(&second, "large").len(), 2 << 20);
    let workspace = second.mounts().workspace;
    fs::File::create(workspace.join("sparse")).unwrap().set_len(70 << 20).unwrap();
    fs::create_dir(workspace.join("d")).unwrap();
    fs::remove_file(workspace.join("kept")).unwrap();
    let refused = second.save(&rig.store, (rig.run, 2), 5).await;
    assert!(matches!(refused, Err(WorkspaceError::QuotaExceeded(QuotaExceeded::Bytes(_)))), "{refused:?}");
    second.reset(&rig.store, Some(&over)).await.unwrap();
    assert_eq!((read(&second, "kept"), read(&second, "large").len()), (b"1".to_vec(), 2 << 20));
    assert!(!workspace.join("sparse").exists() && !workspace.join("d").exists());
    assert!(workspace.join("inputs").exists(), "the mount point stays");
    assert_eq!(rig.save(&second, 2, 6).await, None, "it is what the log names");
    assert_eq!(second.take_replaced(), vec![], "the snapshot is still in use");
    second.reset(&rig.store, None).await.unwrap();
    assert_eq!((rig.save(&second, 2, 7).await, workspace.join("kept").exists()), (None, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_changed_in_the_store_is_refused() {
    let rig = Rig::new();
    let first = rig.attempt(1);
    write(&first, "a", "content");
    let snapshot = rig.save(&first, 1, 4).await.unwrap();
    let objects: Vec<_> = rig.keys().await.iter().map(|key| rig.objects.join(key.to_string())).collect();
    assert_eq!(objects.len(), 2, "a manifest and a pack");
    for (attempt, object) in (2..).zip(&objects) {
        let good = fs::read(object).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        for wrong in [bad, good[..good.len() - 1].to_vec(), Vec::new()] {
            fs::write(object, wrong).unwrap();
            let workspace = Workspace::make(&rig.home, rig.run, attempt, QUOTA).unwrap();
            let restored = workspace.restore(&rig.store, &snapshot).await;
            assert!(matches!(restored, Err(WorkspaceError::Changed(_))), "{restored:?}");
            workspace.close().await;
        }
        fs::remove_file(object).unwrap();
        let workspace = rig.attempt(attempt);
        let restored = workspace.restore(&rig.store, &snapshot).await;
        assert!(matches!(restored, Err(WorkspaceError::Changed(_))), "{restored:?}");
        workspace.close().await;
        fs::write(object, good).unwrap();
    }
    let stored = snapshot.stored();
    let other = StoredSnapshot { format: Some("manifest9".to_owned()), ..stored.clone() };
    assert!(Snapshot::read(rig.run, &other).is_err(), "a format of a later version");
    assert!(Snapshot::read(RunId::generate(), &stored).is_err(), "a snapshot of another run");
}

/// A snapshot of a worker of the former version, which packed the workspace as a whole.
async fn former_snapshot(rig: &Rig) -> Snapshot {
    let mut tar = tar::Builder::new(zstd::Encoder::new(Vec::new(), 3).unwrap());
    for (path, mode, content) in [("d/run.sh", 0o755, "#!/bin/sh"), ("a", 0o644, "content")] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(1_000_000_000);
        tar.append_data(&mut header, Path::new(path), content.as_bytes()).unwrap();
    }
    let packed = tar.into_inner().unwrap().finish().unwrap();
    let key = ObjectKey::snapshot(rig.run, 1, 10);
    let hash = hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &packed).as_ref());
    let event = serde_json::json!({
        "callId": rig.run, "name": "shell", "content": "", "isError": false,
        "workspace": {"key": key.to_string(), "sha256": hash, "size": packed.len()},
    });
    rig.store.put(&key, Bytes::from(packed)).await.unwrap();
    let Ok(Some(EventData::ToolResult(result))) = EventData::read("tool.result", event) else {
        panic!("the event is read")
    };
    let snapshot = Snapshot::read(rig.run, &result.workspace.unwrap()).unwrap();
    assert_eq!(snapshot.format, Format::Tar);
    snapshot
}

/// N-1 beside N.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_the_former_version_is_restored_and_replaced() {
    let rig = Rig::new();
    let snapshot = former_snapshot(&rig).await;
    let key = snapshot.key.clone();
    let second = rig.attempt(2);
    second.restore(&rig.store, &snapshot).await.unwrap();
    assert_eq!((read(&second, "d/run.sh"), read(&second, "a")), (b"#!/bin/sh".to_vec(), b"content".to_vec()));
    write(&second, "b", "new");
    let newer = rig.save(&second, 2, 12).await.unwrap();
    assert_eq!((newer.format, second.take_replaced()), (Format::Manifest, vec![key]));
    let third = rig.attempt(3);
    third.restore(&rig.store, &newer).await.unwrap();
    assert_eq!((read(&third, "a"), read(&third, "b")), (b"content".to_vec(), b"new".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_former_version_that_are_deleted_stay_deleted() {
    let rig = Rig::new();
    let second = rig.attempt(2);
    second.restore(&rig.store, &former_snapshot(&rig).await).await.unwrap();
    let workspace = second.mounts().workspace;
    fs::remove_file(workspace.join("a")).unwrap();
    fs::remove_dir_all(workspace.join("d")).unwrap();
    let empty = rig.save(&second, 2, 12).await.expect("the files are gone");
    assert_eq!(rig.save(&second, 2, 13).await, None, "nothing changed since");
    let third = rig.attempt(3);
    third.restore(&rig.store, &empty).await.unwrap();
    let workspace = third.mounts().workspace;
    assert!(!workspace.join("a").exists() && !workspace.join("d").exists());
}
