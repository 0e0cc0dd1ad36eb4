//! S4: files that a program leaves in its workspace do not lead the worker outside.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use run_worker::sandbox::{EndReason, Interpreter};
use run_worker::workspace::{QuotaExceeded, WorkspacePath, measure};
use shared::testing::WAIT_LIMIT;

use super::{Lab, QUOTA};

const SECRET: &str = "outside-77e0";

#[tokio::test(flavor = "multi_thread")]
async fn s4_links_fifos_and_devices_open_nothing() {
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    let outside = workspace.private_path("outside");
    std::fs::write(&outside, SECRET).unwrap();
    std::fs::write(workspace.mounts().inputs.join("given"), "given").unwrap();
    let script = format!(
        "ln -s {} absolute; ln -s ../outside relative; ln -s ../.. up; mkfifo fifo
         ln /usr/bin/id hard 2>/dev/null || echo no hard link
         ln inputs/given hard2 2>/dev/null || echo no hard link
         mknod device c 1 5 2>/dev/null || echo no device
         ln -s /proc/self/environ magic; ln -s inputs/given through
         mv inputs elsewhere 2>/dev/null || echo inputs stay
         rmdir inputs 2>/dev/null || echo inputs stay
         echo own > own",
        outside.display()
    );
    let said = lab.bash(&workspace, 300, &script).await.output.shown("");
    assert_eq!(said, "no hard link\nno hard link\nno device\ninputs stay\ninputs stay\n");
    let read = |path: &str| {
        let (root, path) = workspace.open_root(WorkspacePath::parse(path).unwrap())?;
        let mut text = String::new();
        root.read(&path)?.read_to_string(&mut text).map(|_| text)
    };
    assert_eq!(
        (read("own").unwrap(), read("inputs/given").unwrap()),
        ("own\n".to_owned(), "given".to_owned())
    );
    for path in ["absolute", "relative", "up/outside", "fifo", "magic", "device", "up/../outside"] {
        let found = WorkspacePath::parse(path).map_err(std::io::Error::other).and_then(|_| read(path));
        assert!(found.is_err(), "{path}: {found:?}");
    }
    workspace.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_a_swap_in_the_middle_of_a_read_shows_nothing_from_outside() {
    const READS: usize = 100;
    const READS_FOR: Duration = Duration::from_secs(3);
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    let outside = workspace.private_path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), SECRET).unwrap();
    let script = format!(
        "import os, ctypes
os.makedirs('dir', exist_ok=True)
open('dir/file', 'w').write('inside')
os.symlink('{}', 'link')
libc = ctypes.CDLL(None)
while True: libc.renameat2(-100, b'dir', -100, b'link', 2)",
        outside.display()
    );
    let job = Lab::job(&workspace, Interpreter::Python, &script);
    let reading = {
        let workspace = workspace.clone();
        tokio::task::spawn_blocking(move || {
            // On a busy machine the script starts late, and few reads meet the file.
            let (mut inside, begun) = (0, Instant::now());
            let mut first_read = None::<Instant>;
            while begun.elapsed() < WAIT_LIMIT
                && (inside <= READS || first_read.is_none_or(|at| at.elapsed() < READS_FOR))
            {
                let Ok((root, path)) = workspace.open_root(WorkspacePath::Workspace("dir/file".into()))
                else {
                    continue;
                };
                let mut text = String::new();
                if root.read(&path).is_ok_and(|mut file| file.read_to_string(&mut text).is_ok()) {
                    assert!(text.is_empty() || text == "inside", "{text}");
                    inside += 1;
                    first_read.get_or_insert_with(Instant::now);
                }
                let _ = root.write(Path::new("dir/written"), &mut &b"x"[..], 0o644, workspace.owner());
                let _ = measure(&workspace.mounts().workspace, &QUOTA);
            }
            inside
        })
    };
    tokio::select! {
        execution = lab.run(job) => panic!("the swaps ended: {execution:?}"),
        inside = reading => assert!(inside.unwrap() > READS, "the file was read between the swaps"),
    }
    lab.tasks.close();
    lab.tasks.wait().await;
    let left: Vec<_> =
        std::fs::read_dir(&outside).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["file"], "nothing was written outside");
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_a_zip_bomb_is_stopped_at_the_quota() {
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    let script = "import time, zipfile
with zipfile.ZipFile('bomb.zip', 'w', zipfile.ZIP_DEFLATED) as z:
  for n in range(4): z.writestr(f'{n}', bytes(10 << 20))
print('packed', flush=True)
zipfile.ZipFile('bomb.zip').extractall('out')
time.sleep(1000)";
    let execution = lab.run(Lab::job(&workspace, Interpreter::Python, script)).await;
    assert_eq!(execution.end, EndReason::Quota(QuotaExceeded::Bytes(QUOTA.bytes)), "{execution:?}");
    assert_eq!(execution.output.shown(""), "packed\n");
}
