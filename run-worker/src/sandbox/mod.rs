//! Where the model's commands run: bwrap's namespaces, seccomp, limits, landlock, and a group of cgroup v2 where that is delegated. Each command has a
//! sandbox of its own, which ends with it; what stays is the workspace.
//!
//! `policy` says what a command sees, `syscalls` what it may ask the kernel for, `limits` what it may use; `supervise` is one
//! command from begin to end, and `watch` looks at it meanwhile; `self_test` looks from inside whether all of it holds. A layer that does not hold means that
//! no command runs at all.

mod cgroup;
pub mod limits;
pub mod output;
pub mod policy;
mod processes;
mod self_test;
mod spawn;
mod supervise;
mod syscalls;
mod tree;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use cgroup::Cgroups;
use limits::SandboxLimits;
use policy::Host;
pub use policy::{Interpreter, Mounts};
use spawn::Spawner;
pub use supervise::{Ended, Execution, Job};

use crate::workspace::Home;

/// Why no command was run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The sandbox could not be made; bwrap's words, or the entry's.
    #[error("the sandbox did not start: {0}")]
    Start(String),
    /// Something that it is made of is missing.
    #[error("the sandbox could not be made: {0}")]
    Io(#[from] std::io::Error),
    /// The filters cannot be built for this machine.
    #[error("seccomp: {0}")]
    Filters(#[from] seccompiler::Error),
    /// The task ended in a panic.
    #[error("the sandbox's task failed")]
    Task,
}

/// What a sandbox is made with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The path of bwrap.
    pub bwrap: PathBuf,
    /// The program sandbox-entry.
    pub entry: PathBuf,
    /// The prepared Python environment.
    pub python: Option<PathBuf>,
}

/// What every command of the process has in common.
struct Engine {
    bwrap: PathBuf,
    host: Host,
    limits: SandboxLimits,
    filters: [Vec<u8>; 2],
    spawner: Spawner,
    user: Option<u32>,
    cgroups: Option<Arc<Cgroups>>,
}

/// See the module.
pub struct Sandbox {
    engine: Option<Arc<Engine>>,
    health: Health,
}

/// What the self-test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Every layer holds.
    Up,
    /// Commands run; these further layers are not to be had on this machine.
    Degraded(Vec<&'static str>),
    /// No command runs: these layers do not hold.
    Down(Vec<&'static str>),
    /// The operator does not want one.
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

    /// Whether the process does what its operator asked for.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        !matches!(self, Self::Down(_))
    }
}

impl Sandbox {
    /// None at all.
    #[must_use]
    pub const fn off() -> Self {
        Self { engine: None, health: Health::Off }
    }

    /// Builds it and looks whether it holds.
    pub async fn open(parts: &Parts, home: &Home) -> Self {
        let tested = match Engine::build(parts, home) {
            Ok(engine) => {
                let engine = Arc::new(engine);
                let missing = self_test::missing(&engine, home).await;
                (Some(engine), missing)
            }
            Err(error) => {
                tracing::error!(%error, "the sandbox cannot be built");
                (None, self_test::Missing { needed: vec!["sandbox"], further: vec![] })
            }
        };
        let (engine, missing) = tested;
        let health = if !missing.needed.is_empty() {
            Health::Down(missing.needed)
        } else if !missing.further.is_empty() {
            Health::Degraded(missing.further)
        } else {
            Health::Up
        };
        health.tell();
        Self { engine: engine.filter(|_| health.is_good()), health }
    }

    /// What the self-test found.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// What a command may use; none where no command runs.
    #[must_use]
    pub fn limits(&self) -> Option<&SandboxLimits> {
        self.engine.as_ref().map(|engine| &engine.limits)
    }

    /// Whether there is a prepared Python.
    #[must_use]
    pub fn has_python(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.host.python.is_some())
    }

    /// Runs a job. Dropping the future ends its processes; `tasks` knows when they are gone.
    pub async fn run(&self, job: Job, tasks: &TaskTracker) -> Result<Execution, SandboxError> {
        let Some(engine) = &self.engine else { return Err(SandboxError::Start("it is missing".to_owned())) };
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        let done = tasks.spawn(supervise::supervise(Arc::clone(engine), job, stop)).await;
        done.map_err(|_| SandboxError::Task)?
    }
}

impl Health {
    fn tell(&self) {
        let (holds, missing) = match self {
            Self::Up | Self::Off => (1.0, &[][..]),
            Self::Degraded(missing) => (1.0, &missing[..]),
            Self::Down(missing) => (0.0, &missing[..]),
        };
        metrics::gauge!("capi_sandbox_up").set(holds);
        for layer in missing {
            metrics::gauge!("capi_sandbox_layer_missing", "layer" => *layer).set(1.0);
        }
        match self {
            Self::Down(missing) => {
                tracing::error!(?missing, "layers of the sandbox do not hold; no command runs");
            }
            Self::Degraded(missing) => tracing::warn!(?missing, "the sandbox lacks further layers"),
            Self::Up | Self::Off => {}
        }
    }
}

impl Engine {
    fn build(parts: &Parts, home: &Home) -> Result<Self, SandboxError> {
        let python = parts.python.clone().filter(|python| python.join("bin/python3").exists());
        let fonts = python.as_ref().and_then(|python| {
            let made = std::fs::read_dir(python.join("matplotlib")).into_iter().flatten().flatten();
            made.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|kind| kind == "json"))
        });
        let roots = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"].map(PathBuf::from).into_iter();
        let roots = roots.filter(|root| root.exists()).map(|root| {
            let leads_to = std::fs::read_link(&root).ok();
            (root, leads_to)
        });
        let host = Host {
            entry: home.lend_program(&parts.entry)?,
            etc: home.make_etc()?,
            python,
            fonts,
            roots: roots.collect(),
        };
        let limits = SandboxLimits::default();
        Ok(Self {
            bwrap: parts.bwrap.clone(),
            host,
            limits,
            filters: syscalls::filters()?,
            spawner: Spawner::start()?,
            user: home.user(),
            cgroups: Cgroups::find().map(Arc::new),
        })
    }
}
