//! One service process, which ends with its `Process`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use shared::testing::{WAIT_LIMIT, eventually};
use tokio::process::{Child, Command};

/// The programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `gateway serve`
    Gateway,
    /// `run-worker`
    RunWorker,
    /// `webhook-dispatcher`
    WebhookDispatcher,
}

impl Service {
    /// The name of its program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::RunWorker => "run-worker",
            Self::WebhookDispatcher => "webhook-dispatcher",
        }
    }
}

/// Where cargo put the programs that this one was built with.
#[must_use]
pub fn bin_dir() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let dir = own.parent().expect("a program is in a directory");
    if dir.ends_with("deps") { dir.parent().unwrap_or(dir).to_owned() } else { dir.to_owned() }
}

/// Whether this answer of /readyz says that the service is ready and reaches the broker.
fn is_ready(status: u16, body: &str) -> bool {
    status == 200 && body.contains(r#""broker":"up""#)
}

/// A running service.
pub struct Process {
    child: Child,
    dir: tempfile::TempDir,
    service: Service,
}

impl Process {
    /// Starts it with exactly these settings and waits until it is ready.
    pub async fn start(service: Service, settings: &[(String, String)]) -> Self {
        Self::start_until(service, settings, is_ready).await.0
    }

    /// Starts it and waits until status and body of its /readyz are as wanted; returns them too. A service
    /// ends at once if it cannot reach the database within a second; as under an orchestrator, it is then
    /// started again.
    pub async fn start_until(
        service: Service,
        settings: &[(String, String)],
        wanted: impl Fn(u16, &str) -> bool,
    ) -> (Self, u16, String) {
        let deadline = Instant::now() + WAIT_LIMIT;
        let mut started = Self::spawn(service, settings);
        loop {
            let answer = started.ops("/readyz").await;
            if let Some((status, body)) = answer.as_ref().filter(|(status, body)| wanted(*status, body)) {
                return (started, *status, body.clone());
            }
            assert!(
                Instant::now() < deadline,
                "{} after {WAIT_LIMIT:?}: {answer:?}: {}",
                service.program(),
                started.log()
            );
            if started.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                started = Self::spawn(service, settings);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    fn spawn(service: Service, settings: &[(String, String)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let log = std::fs::File::create(dir.path().join("log")).expect("a log can be made");
        let mut command = Command::new(bin_dir().join(service.program()));
        if service == Service::Gateway {
            command.arg("serve");
        }
        let child = command
            .env_clear()
            .envs(settings.iter().cloned())
            .env("CAPI_RUN_DIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the service's program is built (cargo build --workspace --bins)");
        Self { child, dir, service }
    }

    /// The id of the started process while it runs: of a worker's supervisor, not of the worker.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The id of the process that does the work.
    #[must_use]
    pub fn working_pid(&self) -> Option<u32> {
        self.pids().pop()
    }

    /// The ids of its processes while they run: a worker has a supervisor, which comes first.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let Some(started) = self.child.id() else { return Vec::new() };
        let mut pids = vec![started];
        if self.service == Service::RunWorker {
            let children = std::fs::read_to_string(format!("/proc/{started}/task/{started}/children"));
            // The first child is the worker. Others are orphans.
            pids.extend(
                children.unwrap_or_default().split(' ').next().and_then(|pid| pid.parse::<u32>().ok()),
            );
        }
        pids
    }

    /// The resident memory of its processes in MiB.
    #[must_use]
    pub fn resident_mb(&self) -> u64 {
        let resident_kb = |pid: u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmRSS:"));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or_default()
        };
        self.pids().into_iter().map(resident_kb).sum::<u64>() / 1024
    }

    /// http://… of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address("http").expect("a ready gateway wrote its address"))
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The id of a worker, once it has logged it.
    #[must_use]
    pub fn worker_id(&self) -> Option<String> {
        let log = self.log();
        let (_, rest) = log.split_once(r#""worker":""#)?;
        Some(rest.split_once('"')?.0.to_owned())
    }

    /// Status and body of a page of the ops listener.
    pub async fn ops(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.address("ops")?);
        let response = reqwest::Client::new().get(url).timeout(Duration::from_secs(5)).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// Whether it is ready and reaches the broker. A gateway is also ready without the broker.
    pub async fn is_ready(&self) -> bool {
        self.ops("/readyz").await.is_some_and(|(status, body)| is_ready(status, &body))
    }

    /// Waits for it. Each of its connections to the broker comes back at its own time after an outage.
    pub async fn becomes_ready(&self) {
        eventually("it is ready", async || self.is_ready().await.then_some(())).await;
    }

    /// Its /metrics, read until the answer is 200.
    pub async fn metrics(&self) -> String {
        eventually("the metrics are shown", async || {
            self.ops("/metrics").await.filter(|(status, _)| *status == 200).map(|(_, metrics)| metrics)
        })
        .await
    }

    /// The sum of a counter over its labels, as /metrics shows it.
    pub async fn counter(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        metrics.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Kills it with SIGKILL. A worker ends with its supervisor.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a process that we started can be killed");
    }

    /// Kills a worker, but not its supervisor. Returns the exit code of the latter.
    pub async fn kill_worker(mut self) -> Option<i32> {
        self.signal(Signal::KILL);
        let ended = tokio::time::timeout(WAIT_LIMIT, self.child.wait()).await;
        ended.expect("the supervisor ends too").expect("it can be waited for").code()
    }

    /// Sends it a signal: to a worker itself, or to its supervisor if that passes the signal on.
    pub fn signal(&self, signal: Signal) {
        let passed_on = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].contains(&signal);
        let pid = if passed_on { self.pid() } else { self.working_pid() };
        let pid = pid.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        kill_process(pid.expect("it runs"), signal).expect("a process that we started can be signalled");
    }

    /// Sends SIGTERM and waits for the end; whether the exit status is success.
    pub async fn terminate(&mut self) -> bool {
        self.signal(Signal::TERM);
        self.ends_well().await
    }

    /// Waits for the end of a process that was asked to stop; whether the exit status is success.
    pub async fn ends_well(&mut self) -> bool {
        let ended = tokio::time::timeout(WAIT_LIMIT, self.child.wait()).await;
        ended.expect("it ends within its grace period").expect("it can be waited for").success()
    }

    fn address(&self, kind: &str) -> Option<String> {
        let path: &Path = self.dir.path();
        let text = std::fs::read_to_string(path.join(format!("{}.{kind}", self.service.program()))).ok()?;
        text.trim().parse::<std::net::SocketAddr>().ok().map(|address| address.to_string())
    }
}
