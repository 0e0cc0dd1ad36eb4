//! Checks and applies what an account writes into an app: prompt templates and output schemas. Their author
//! may be hostile, and a thread that parses one cannot be stopped. So child processes do the work
//! (`definition-checker`, beside the service's program) with bounded memory, stack and time, and a service
//! survives whatever ends them. Gateway and run-worker use the same functions, so they agree.
//!
//! A cheap scan in this process (`prompt`, `output_schema`) refuses most hostile definitions before.

mod child;
pub mod program;
mod protocol;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use self::child::{CheckerProcess, Lost};
use self::protocol::{Answer, MAX_MESSAGE_BYTES, Task};
use crate::ids::UserId;
use crate::text::CleanText;
use crate::{output_schema, prompt};

/// Processes at once. An account uses one of them at most, so that it does not delay the others.
const PROCESSES: usize = 4;
/// How long the task of a request waits for the account's turn and for a free process.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// How long an account stays in the queue of costly accounts, which has one place.
const COSTLY_FOR: Duration = Duration::from_mins(10);
const MAX_COSTLY_ACCOUNTS: usize = 10_000;
/// Between tries to start a process.
const START_PAUSE: Duration = Duration::from_millis(300);
/// An unused process ends after this time.
const IDLE_LIMIT: Duration = Duration::from_mins(1);
/// Tries of a task whose process ended for a reason outside the task.
const TRIES: usize = 3;
const PROGRAM: &str = "definition-checker";

/// Why a definition was not checked, rendered or applied.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The definition cannot be used. The text is for the app's author and begins with a verb.
    #[error("{0}")]
    Refused(String),
    /// The check could not be made. It says nothing about the definition.
    #[error("cannot check definitions: {0}")]
    Unavailable(String),
}

/// The checker processes of a service. Cheap to clone.
#[derive(Clone)]
pub struct DefinitionChecker {
    pool: Arc<Pool>,
    /// The runtime that started the checker: the pipes of a process live there.
    runtime: Handle,
}

struct Pool {
    program: PathBuf,
    /// How long a task waits for the account's turn and for a free process.
    patience: Duration,
    places: Semaphore,
    /// The one place of accounts whose tasks lately cost much. They wait for each other, not others for them.
    costly_place: Semaphore,
    costly: Mutex<HashMap<UserId, Instant>>,
    idle: Mutex<Vec<(CheckerProcess, Instant)>>,
    turns: Mutex<HashMap<UserId, Arc<Semaphore>>>,
}

impl DefinitionChecker {
    /// Starts the checker of a service that answers requests, on this runtime. Fails if its program does not
    /// start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(REQUEST_PATIENCE)
    }

    /// The same for a service whose tasks may wait for a free process for this long.
    pub fn start_with(patience: Duration) -> anyhow::Result<Self> {
        let program = beside(&std::env::current_exe()?);
        let first = CheckerProcess::start(&program)
            .map_err(|error| anyhow::anyhow!("cannot start {}: {error}", program.display()))?;
        let pool = Arc::new(Pool {
            program,
            patience,
            places: Semaphore::new(PROCESSES),
            costly_place: Semaphore::new(1),
            costly: Mutex::default(),
            idle: Mutex::new(vec![(first, Instant::now())]),
            turns: Mutex::default(),
        });
        let pruned = Arc::downgrade(&pool);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE_LIMIT / 2).await;
                let Some(pool) = pruned.upgrade() else { return };
                lock(&pool.idle).retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
            }
        });
        Ok(Self { pool, runtime: Handle::current() })
    }

    /// Checks the syntax of a template, and that every variable is an input field.
    pub async fn check_prompt(
        &self,
        account: UserId,
        template: &str,
        inputs: &[&str],
    ) -> Result<(), CheckError> {
        prompt::scan(template).map_err(|error| CheckError::Refused(error.to_string()))?;
        let inputs = inputs.iter().map(|name| Cow::Borrowed(*name)).collect();
        let task = Task::CheckPrompt { template: Cow::Borrowed(template), inputs };
        self.answer(account, &task).await.map(drop)
    }

    /// Renders a template with the inputs of a run (an object).
    pub async fn render_prompt(
        &self,
        account: UserId,
        template: &str,
        inputs: &Value,
    ) -> Result<CleanText, CheckError> {
        prompt::scan(template).map_err(|error| CheckError::Refused(error.to_string()))?;
        let task = Task::RenderPrompt { template: Cow::Borrowed(template), inputs: Cow::Borrowed(inputs) };
        match self.answer(account, &task).await? {
            Answer::Rendered(text) => Ok(CleanText::new(&text, prompt::MAX_PROMPT_BYTES)),
            _ => Err(unexpected()),
        }
    }

    /// Checks that a schema can be used.
    pub async fn check_schema(&self, account: UserId, schema: &Value) -> Result<(), CheckError> {
        output_schema::scan(schema).map_err(|refusal| CheckError::Refused(refusal.to_string()))?;
        let task = Task::CheckSchema { schema: Cow::Borrowed(schema) };
        self.answer(account, &task).await.map(drop)
    }

    /// Returns what is wrong with `value`, each violation with its place.
    pub async fn violations(
        &self,
        account: UserId,
        schema: &Value,
        value: &Value,
    ) -> Result<Vec<String>, CheckError> {
        output_schema::scan(schema).map_err(|refusal| CheckError::Refused(refusal.to_string()))?;
        let task = Task::Violations { schema: Cow::Borrowed(schema), value: Cow::Borrowed(value) };
        match self.answer(account, &task).await? {
            Answer::Violations(violations) => Ok(violations),
            _ => Err(unexpected()),
        }
    }

    async fn answer(&self, account: UserId, task: &Task<'_>) -> Result<Answer, CheckError> {
        let (kind, message) = (task.kind(), serde_json::to_vec(task));
        let message = message.map_err(|error| CheckError::Unavailable(error.to_string()))?;
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(CheckError::Refused(format!("works on more than {MAX_MESSAGE_BYTES} bytes")));
        }
        let pool = Arc::clone(&self.pool);
        let working = async move { pool.work(account, kind, &message).await }.in_current_span();
        let answered = self.runtime.spawn(working).await;
        answered.map_err(|error| CheckError::Unavailable(error.to_string()))?
    }
}

impl Pool {
    async fn work(&self, account: UserId, kind: &'static str, task: &[u8]) -> Result<Answer, CheckError> {
        let turn =
            Arc::clone(lock(&self.turns).entry(account).or_insert_with(|| Arc::new(Semaphore::new(1))));
        let answered = self.in_turn(&turn, account, kind, task).await;
        drop(turn);
        lock(&self.turns).retain(|_, turns| Arc::strong_count(turns) > 1);
        let outcome = match &answered {
            Ok(Answer::Refused(_)) | Err(CheckError::Refused(_)) => "refused",
            Ok(_) => "done",
            Err(CheckError::Unavailable(_)) => "unavailable",
        };
        metrics::counter!("capi_definition_checks_total", "of" => kind, "outcome" => outcome).increment(1);
        match answered? {
            Answer::Refused(why) => Err(CheckError::Refused(why)),
            answer => Ok(answer),
        }
    }

    async fn in_turn(
        &self,
        turn: &Semaphore,
        account: UserId,
        kind: &'static str,
        task: &[u8],
    ) -> Result<Answer, CheckError> {
        let places = async {
            let turn = turn.acquire().await;
            let costly = if self.is_costly(account) { Some(self.costly_place.acquire().await) } else { None };
            (turn, costly, self.places.acquire().await)
        };
        let Ok((Ok(_held), _costly, Ok(_place))) = timeout(self.patience, places).await else {
            return Err(CheckError::Unavailable("too many checks wait".to_owned()));
        };
        let mut last = String::new();
        for _ in 0..TRIES {
            let waiting = lock(&self.idle).pop();
            let started = match waiting {
                Some((process, _)) => Ok(process),
                None => CheckerProcess::start(&self.program),
            };
            let mut process = match started {
                Ok(process) => process,
                Err(error) => {
                    last = error.to_string();
                    tokio::time::sleep(START_PAUSE).await;
                    continue;
                }
            };
            match process.answer(task).await {
                Ok(answer) => {
                    if process.was_costly() {
                        self.note_costly(account);
                    }
                    if process.is_fit() {
                        lock(&self.idle).push((process, Instant::now()));
                    }
                    return Ok(answer);
                }
                Err(Lost::Gone(why)) => last = why,
                Err(cause) => {
                    self.note_costly(account);
                    return Err(ended(account, kind, &cause));
                }
            }
        }
        tracing::error!(why = last, "the definition checker ends without an answer");
        Err(CheckError::Unavailable(last))
    }

    fn is_costly(&self, account: UserId) -> bool {
        lock(&self.costly).get(&account).is_some_and(|since| since.elapsed() < COSTLY_FOR)
    }

    fn note_costly(&self, account: UserId) {
        let mut costly = lock(&self.costly);
        costly.retain(|_, since| since.elapsed() < COSTLY_FOR);
        if costly.len() < MAX_COSTLY_ACCOUNTS {
            costly.insert(account, Instant::now());
        }
    }
}

/// The refusal of a definition that ended its process.
fn ended(account: UserId, kind: &'static str, lost: &Lost) -> CheckError {
    let reason = match lost {
        Lost::Slow => "time",
        Lost::Crashed | Lost::Gone(_) => "memory",
    };
    metrics::counter!("capi_definition_checkers_ended_total", "of" => kind, "reason" => reason).increment(1);
    tracing::warn!(user_id = %account, of = kind, reason, "a definition ended its checker process");
    CheckError::Refused(format!("needs too much {reason}; make it simpler"))
}

fn unexpected() -> CheckError {
    CheckError::Unavailable("the definition checker answered another question".to_owned())
}

/// The checker's program is beside the service's. Cargo puts the programs of tests one directory deeper.
fn beside(program: &Path) -> PathBuf {
    let beside = program.with_file_name(PROGRAM);
    let above = program.parent().filter(|dir| dir.ends_with("deps")).and_then(Path::parent);
    above.map(|dir| dir.join(PROGRAM)).filter(|_| !beside.exists()).unwrap_or(beside)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
