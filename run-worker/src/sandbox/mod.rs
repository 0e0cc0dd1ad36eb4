//! Runs the commands of the model in sandboxes. Each command has its own, which ends with it; only the
//! workspace stays. The layers are bwrap's namespaces, seccomp, limits, landlock, and a cgroup if cgroup v2
//! is delegated.
//!
//! `policy` says what a command sees, `syscalls` which system calls it can make, `limits` how much it can
//! use. `supervise` runs one command, and `watch` measures it meanwhile. `self_test` checks every layer from
//! inside when the worker starts. If a layer does not work, no command runs at all.

mod available;
mod bound;
mod cgroup;
mod findings;
mod hidden;
mod job;
mod kit;
mod left_over;
pub mod limits;
mod open_files;
mod output;
mod pace;
mod policy;
mod processes;
mod self_test;
mod shortage;
mod socket_rules;
mod sockets;
mod spawn;
mod supervise;
mod syscalls;
mod tree;
mod usage;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use cgroup::Cgroups;
pub(crate) use findings::free_on_disk;
pub use job::{EndReason, Execution, Job};
pub use kit::Kit;
#[cfg(test)]
pub(crate) use kit::tests::kit as test_kit;
pub use left_over::has_processes;
pub(crate) use limits::GONE_WITHIN;
use limits::SandboxLimits;
pub use output::CommandOutput;
use policy::Host;
pub use policy::Interpreter;
pub(crate) use processes::children;
use shortage::Commands;
use spawn::Spawner;

use crate::workspace::Home;

/// Why no command ran.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// With the message of bwrap or of the entry.
    #[error("the sandbox did not start: {0}")]
    Start(String),
    #[error("failed to prepare the sandbox: {0}")]
    Io(#[from] std::io::Error),
    #[error("failed to build the seccomp filters: {0}")]
    Filters(#[from] seccompiler::Error),
    #[error("the task of the sandbox panicked")]
    Task,
}

/// The programs that a sandbox is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    pub bwrap: PathBuf,
    /// The program sandbox-entry.
    pub entry: PathBuf,
    /// The prepared Python environment.
    pub python: Option<PathBuf>,
    /// The id of the worker's supervisor.
    pub supervisor: Option<u32>,
}

/// What all commands of the process share.
struct Engine {
    bwrap: PathBuf,
    host: Host,
    limits: SandboxLimits,
    filters: syscalls::Filters,
    spawner: Spawner,
    user: Option<u32>,
    cgroups: Option<Arc<Cgroups>>,
    commands: Arc<Commands>,
    kit: Option<Kit>,
}

pub struct Sandbox {
    engine: Option<Arc<Engine>>,
    health: Health,
}

/// The result of the self-test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Every layer works.
    Up,
    /// Commands run. This machine does not offer these layers.
    Degraded(Vec<&'static str>),
    /// No command runs: these layers do not work.
    Down(Vec<&'static str>),
    /// The operator turned the sandbox off.
    Off,
}

impl Health {
    /// For readiness.
    #[must_use]
    pub fn shown(&self) -> Value {
        match self {
            Self::Up => json!({"status": "up", "missing": []}),
            Self::Degraded(missing) => json!({"status": "degraded", "missing": missing}),
            Self::Down(missing) => json!({"status": "down", "missing": missing}),
            Self::Off => json!({"status": "off", "missing": []}),
        }
    }

    /// Whether the worker can do what the operator asked for.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        !matches!(self, Self::Down(_))
    }

    fn report(&self) {
        let (works, missing) = match self {
            Self::Up | Self::Off => (1.0, &[][..]),
            Self::Degraded(missing) => (1.0, &missing[..]),
            Self::Down(missing) => (0.0, &missing[..]),
        };
        metrics::gauge!("capi_sandbox_up").set(works);
        for layer in missing {
            metrics::gauge!("capi_sandbox_layer_missing", "layer" => *layer).set(1.0);
        }
        match self {
            Self::Down(missing) => {
                tracing::error!(?missing, "layers of the sandbox do not work; no command runs");
            }
            Self::Degraded(missing) => tracing::warn!(?missing, "the machine does not offer some layers"),
            Self::Up | Self::Off => {}
        }
    }
}

impl Sandbox {
    #[must_use]
    pub const fn off() -> Self {
        Self { engine: None, health: Health::Off }
    }

    /// Builds the sandbox and tests it.
    pub async fn open(parts: &Parts, home: &Home) -> Self {
        Self::open_with(parts, home, SandboxLimits::DEFAULT).await
    }

    /// With other limits, for tests.
    pub async fn open_with(parts: &Parts, home: &Home, limits: SandboxLimits) -> Self {
        let (engine, missing) = match Engine::build(parts, home, limits) {
            Ok(engine) => {
                let engine = Arc::new(engine);
                let missing = self_test::missing(&engine, home).await;
                (Some(engine), missing)
            }
            Err(error) => {
                tracing::error!(%error, "failed to build the sandbox");
                (None, self_test::Missing { required: vec!["sandbox"], optional: vec![] })
            }
        };
        let health = if !missing.required.is_empty() {
            Health::Down(missing.required)
        } else if !missing.optional.is_empty() {
            Health::Degraded(missing.optional)
        } else {
            Health::Up
        };
        health.report();
        Self { engine: engine.filter(|_| health.is_good()), health }
    }

    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// The limits of a command, or none if no command runs.
    #[must_use]
    pub fn limits(&self) -> Option<&SandboxLimits> {
        self.engine.as_ref().map(|engine| &engine.limits)
    }

    /// Whether there is a prepared Python environment.
    #[must_use]
    pub fn has_python(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.host.python.is_some())
    }

    /// What commands find, if the environment says it.
    #[must_use]
    pub fn kit(&self) -> Option<&Kit> {
        self.engine.as_ref()?.kit.as_ref()
    }

    /// Runs a job. Dropping the future kills its processes; the task in `tasks` ends when they are gone.
    pub async fn run(&self, job: Job, tasks: &TaskTracker) -> Result<Execution, SandboxError> {
        let Some(engine) = &self.engine else {
            return Err(SandboxError::Start("this worker has no sandbox".to_owned()));
        };
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        let task = tasks.spawn(supervise::supervise(Arc::clone(engine), job, stop).in_current_span());
        task.await.map_err(|_| SandboxError::Task)?
    }
}

impl Engine {
    fn build(parts: &Parts, home: &Home, limits: SandboxLimits) -> Result<Self, SandboxError> {
        let python = parts.python.clone().filter(|python| python.join("bin/python3").exists());
        let kit = python.as_deref().and_then(Kit::read);
        let fonts = python.as_ref().and_then(|python| {
            let files = fs::read_dir(python.join("matplotlib")).into_iter().flatten().flatten();
            files.map(|file| file.path()).find(|path| path.extension().is_some_and(|kind| kind == "json"))
        });
        let roots = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"].map(PathBuf::from).into_iter();
        let roots = roots.filter(|root| root.exists()).map(|root| {
            let target = fs::read_link(&root).ok();
            (root, target)
        });
        let configuration = configuration(Path::new("/etc"));
        let names: Vec<_> = configuration.iter().filter_map(|directory| directory.file_name()).collect();
        let host = Host {
            entry: home.copy_program(&parts.entry)?,
            etc: home.make_etc(&names)?,
            configuration,
            python,
            fonts,
            roots: roots.collect(),
        };
        Ok(Self {
            bwrap: parts.bwrap.clone(),
            host,
            limits,
            filters: syscalls::filters()?,
            spawner: Spawner::start()?,
            user: home.user(),
            cgroups: Cgroups::find(parts.supervisor).map(Arc::new),
            commands: Arc::default(),
            kit,
        })
    }
}

/// The directories of the machine's /etc that programs need: the targets of links in /usr/bin, the list of
/// fonts, and Java's settings. They hold no secrets.
fn configuration(etc: &Path) -> Vec<PathBuf> {
    let needed = |name: &str| ["alternatives", "fonts"].contains(&name) || name.starts_with("java-");
    let entries = fs::read_dir(etc).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(needed));
    let mut found: Vec<_> = named.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}
