//! The sandbox's Python environment, used outside the sandbox.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

/// The longest time of a program. A busy machine imports a large library in many seconds.
const ENDS_WITHIN: Duration = Duration::from_mins(5);

/// The environment, and a directory in which its programs run.
pub(crate) struct Kit {
    python: PathBuf,
    dir: tempfile::TempDir,
}

impl Kit {
    pub(crate) fn new() -> Self {
        let environment = std::env::var("CAPI_TEST_SANDBOX_PYTHON").unwrap_or_default();
        assert!(!environment.is_empty(), "CAPI_TEST_SANDBOX_PYTHON names no Python environment");
        let python = Path::new(&environment).join("bin/python3");
        Self { python, dir: tempfile::tempdir().unwrap() }
    }

    /// Runs a program in the directory; what it prints.
    pub(crate) async fn run(&self, program: &str) -> String {
        let mut command = Command::new(&self.python);
        // -B: the environment stays as it is.
        command.args(["-B", "-X", "utf8", "-c", program]).current_dir(self.dir.path());
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(ENDS_WITHIN, running).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a program that makes files; one of them.
    pub(crate) async fn make(&self, program: &str, file: &str) -> Vec<u8> {
        self.run(program).await;
        self.file(file)
    }

    /// Runs a program that opens these files; the JSON that it prints.
    pub(crate) async fn open(&self, program: &str, files: &[(&str, &[u8])]) -> Value {
        for (name, bytes) in files {
            std::fs::write(self.dir.path().join(name), bytes).unwrap();
        }
        serde_json::from_str(&self.run(program).await).unwrap()
    }

    /// A file of the directory.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }
}
