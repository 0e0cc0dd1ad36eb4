//! A shell in an empty folder, into which a reader pastes blocks one after another.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::blocks::Block;

/// A guide that takes longer has hung, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(10);

pub(super) struct Session {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Session {
    pub(super) fn new<const N: usize>(variables: [(&str, String); N]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "outputs", "here"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let node = tool("CAPI_NODE");
        let bin = dir.path().join("bin/node");
        std::fs::write(&bin, format!("#!/bin/sh\nexec '{node}' \"$@\"\n")).unwrap();
        std::fs::set_permissions(&bin, PermissionsExt::from_mode(0o755)).unwrap();
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { dir, variables }
    }

    /// The same with another variable.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where the blocks run.
    pub(super) fn here(&self) -> PathBuf {
        self.dir.path().join("here")
    }

    /// Runs the blocks in order; what each prints. It fails at the first command that fails.
    pub(super) async fn run(&self, blocks: &[Block]) -> Vec<String> {
        let mut script = String::from("set -euo pipefail\n");
        let mut outputs = Vec::new();
        let executed = blocks.iter().filter(|block| !block.is_skipped());
        for block in executed.filter(|block| ["sh", "python", "js"].contains(&block.language.as_str())) {
            let output = self.dir.path().join(format!("outputs/{}", block.line));
            let program = |name: &str| {
                std::fs::write(self.here().join(name), &block.text).unwrap();
                name.to_owned()
            };
            let command = match block.language.as_str() {
                "python" => format!("python3 {}", program(&format!("block-{}.py", block.line))),
                "js" => format!("node {}", program(&format!("block-{}.mjs", block.line))),
                _ => block.text.clone(),
            };
            writeln!(script, "echo 'line {}' >&2\nexec > '{}'\n{command}", block.line, output.display())
                .unwrap();
            outputs.push(output);
        }
        self.bash(&script).await;
        outputs.iter().map(|output| std::fs::read_to_string(output).unwrap()).collect()
    }

    async fn bash(&self, script: &str) {
        let path = format!("{}:{}", self.dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        let session = Command::new("bash")
            .args(["-c", script])
            .current_dir(self.here())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.dir.path())
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let ended = tokio::time::timeout(PATIENCE, session).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{said}\n{}", read_all(&self.dir.path().join("outputs")));
    }
}

/// The path of a tool that `make test` installs.
pub(super) fn tool(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; run the tests through `make test`"))
}

fn read_all(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let texts = files.map(|file| format!("{}: {}", file.display(), std::fs::read_to_string(&file).unwrap()));
    texts.collect::<Vec<_>>().join("\n")
}
