//! chromedriver and the browser that it starts. Both are killed when the value is dropped.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use shared::testing::eventually;
use tokio::process::{Child, Command};

pub(super) struct Driver {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Driver {
    /// Starts chromedriver on a free port.
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let log = dir.path().join("log");
        // The browser's processes stay in the group.
        let child = Command::new("chromedriver")
            .arg("--port=0")
            .envs([("HOME", dir.path()), ("TMPDIR", dir.path())])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log).expect("a log can be made"))
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is installed");
        let port = eventually("chromedriver listens", async || {
            let said = std::fs::read_to_string(&log).ok()?;
            said.split_once("successfully on port ")?.1.split_once('.')?.0.parse().ok()
        })
        .await;
        Self { child, dir, port }
    }

    /// The address of its commands.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A directory that is removed with it.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(group) = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        // The last of the processes may still be writing there.
        for _ in 0..100 {
            if std::fs::remove_dir_all(self.dir.path()).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
