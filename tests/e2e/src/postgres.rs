//! A PostgreSQL for one test, for faults that would disturb other tests: restarts and crashes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use diesel_async::SimpleAsyncConnection;
use rustix::process::{Pid, Signal, getuid, kill_process};
use shared::db::connect_once;
use shared::testing::eventually;
use tokio::process::{Child, Command};

use crate::ports::free_ports;

/// Generous, for a busy machine after a crash.
const STARTS_WITHIN: Duration = Duration::from_mins(1);

pub struct PrivatePostgres {
    /// postgres://…
    pub url: String,
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
    pub(crate) server: Child,
    pub(crate) dir: tempfile::TempDir,
}

impl PrivatePostgres {
    /// Makes a cluster and starts the server.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let (data, password) = (dir.path().join("data"), uuid::Uuid::now_v7().simple().to_string());
        let file = dir.path().join("password");
        std::fs::write(&file, &password).expect("a file can be written");
        let made = as_ordinary_user(&bin("initdb"))
            .args([
                "--username=capi",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ])
            .arg(format!("--pgdata={}", data.display()))
            .arg(format!("--pwfile={}", file.display()))
            .output()
            .await
            .expect("initdb can be run");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let [port] = free_ports();
        let url = format!("postgres://capi:{password}@127.0.0.1:{port}/postgres?sslmode=disable");
        let started = Self { url, port, server: serve(&data, port), data, dir };
        started.answers().await;
        started
    }

    /// Ends the server with this signal (SIGINT is a fast shutdown, SIGQUIT a crash) and starts it again.
    /// Returns when it answers.
    pub async fn restart(&mut self, signal: Signal) {
        self.end(signal).await;
        self.server = serve(&self.data, self.port);
        self.answers().await;
    }

    pub(crate) async fn end(&mut self, signal: Signal) {
        let id = self.server.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(id.expect("it runs"), signal).expect("a process that we started can be signalled");
        let ended = tokio::time::timeout(STARTS_WITHIN, self.server.wait()).await;
        ended.expect("it ends").expect("it can be waited for");
    }

    /// Makes commits hang, as if the synchronous standby were away, or ends that.
    pub async fn hang_commits(&self, hang: bool) {
        let setting = if hang {
            "ALTER SYSTEM SET synchronous_standby_names = 'away'"
        } else {
            "ALTER SYSTEM RESET synchronous_standby_names"
        };
        let connect = async || connect_once(&self.url, "capi-test").await.ok();
        let mut connection = eventually("the private PostgreSQL answers", connect).await;
        for sql in [setting, "SELECT pg_reload_conf()"] {
            connection.batch_execute(sql).await.expect("the setting is changed");
        }
    }

    pub(crate) async fn answers(&self) {
        let deadline = Instant::now() + STARTS_WITHIN;
        while connect_once(&self.url, "capi-test").await.is_err() {
            assert!(Instant::now() < deadline, "the private PostgreSQL does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // Its children end when they notice that it is gone.
        let _ = self.server.start_kill();
    }
}

pub(crate) fn serve(data: &Path, port: u16) -> Child {
    as_ordinary_user(&bin("postgres"))
        .args(["-D", &data.display().to_string(), "-p", &port.to_string()])
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=200",
        ])
        .kill_on_drop(true)
        .spawn()
        .expect("PostgreSQL is installed")
}

/// PostgreSQL refuses to run as root. For root, the program runs as user 1000 of a new user namespace.
pub(crate) fn as_ordinary_user(program: &Path) -> Command {
    let mut command = if getuid().is_root() {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-user=1000", "--map-group=1000"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

pub(crate) fn bin(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let newest = versions.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    PathBuf::from(format!("/usr/lib/postgresql/{}/bin/{program}", newest.unwrap_or_default()))
}
