//! P12: a snapshot of a workspace with 200 MB, after a small change.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Instant;

use e2e::Stack;
use run_worker::workspace::{Home, Quota, Workspace};
use shared::ids::RunId;

use crate::line;

const CHANGES: i64 = 50;
const BYTES: u64 = 200 << 20;
/// The default of the worker.
const USER: u32 = 65_533;

pub(crate) async fn measure(stack: &Stack) -> anyhow::Result<()> {
    let (home, store) = (Arc::new(Home::make(std::path::Path::new("/var/tmp"), USER)?), stack.artifacts());
    let quota = Quota { bytes: 1 << 30, entries: 10_000, depth: 64 };
    let fence = (RunId::generate(), 1);
    let workspace = Workspace::make(&home, fence.0, fence.1, quota)?;
    let dir = workspace.mounts().workspace;
    std::io::copy(&mut File::open("/dev/urandom")?.take(BYTES), &mut File::create(dir.join("large"))?)?;
    let begun = Instant::now();
    workspace.save(&store, fence, 0).await?;
    line("snapshot, 200 MB that do not compress", "1", vec![begun.elapsed().as_secs_f64()]);
    let (mut in_place, mut beside) = (Vec::new(), Vec::new());
    for at in 1..=CHANGES {
        let mut large = OpenOptions::new().write(true).open(dir.join("large"))?;
        large.seek(SeekFrom::Start(BYTES / CHANGES.unsigned_abs() * at.unsigned_abs() - 1))?;
        large.write_all(b"!")?;
        drop(large);
        let begun = Instant::now();
        workspace.save(&store, fence, 2 * at).await?;
        in_place.push(begun.elapsed().as_secs_f64());
        // The clock of the file system goes on, so the large file counts as unchanged.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        workspace.save(&store, fence, 2 * at + 1).await?;
        std::fs::write(dir.join("small"), at.to_string())?;
        let begun = Instant::now();
        workspace.save(&store, fence, 2 * at + 1).await?;
        beside.push(begun.elapsed().as_secs_f64());
    }
    line("snapshot, one byte of a 200 MB file (P12: < 100 ms)", &CHANGES.to_string(), in_place);
    line("snapshot, a small file beside 200 MB", &CHANGES.to_string(), beside);
    store.delete_all(fence.0).await?;
    workspace.close().await;
    home.clear();
    Ok(())
}
