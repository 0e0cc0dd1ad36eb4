//! The gateway's operator commands, as processes.

use std::process::Stdio;
use std::time::{Duration, Instant};

use shared::testing::WAIT_LIMIT;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::accounts::EMAIL;
use crate::process::bin_dir;
use crate::stack::Stack;

impl Stack {
    /// Runs `gateway … --email` of the stack's account; what it prints.
    pub async fn on_account(&self, arguments: &[&str]) -> String {
        self.cli(&[arguments, &["--email", EMAIL]].concat(), "").await
    }

    /// Runs `gateway …` with `input` on standard input; what it prints.
    pub async fn cli(&self, arguments: &[&str], input: &str) -> String {
        let (printed, said, good) = self.try_cli(arguments, input).await;
        assert!(good, "gateway {arguments:?}: {said}");
        printed
    }

    /// The same for a command that may fail: standard output, standard error, whether it succeeded. A busy
    /// database server takes long to accept a connection; the command is then run again.
    pub async fn try_cli(&self, arguments: &[&str], input: &str) -> (String, String, bool) {
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            let (printed, said, good) = self.run_cli(arguments, input).await;
            if good || !said.contains("cannot connect") || Instant::now() >= deadline {
                return (printed, said, good);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn run_cli(&self, arguments: &[&str], input: &str) -> (String, String, bool) {
        let mut child = Command::new(bin_dir().join("gateway"))
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway is built (cargo build --workspace --bins)");
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (text(&output.stdout), text(&output.stderr), output.status.success())
    }
}
