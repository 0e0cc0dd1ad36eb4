//! Checks and applies what an account writes into an app: prompt templates and output schemas. Their author
//! may be hostile, and a thread that parses one cannot be stopped. So child processes do the work
//! (`definition-checker`, beside the service's program) with bounded memory, stack and time, and a service
//! survives whatever ends them. Gateway and run-worker use the same functions, so they agree.
//!
//! A cheap scan in this process (`prompt`, `output_schema`) refuses most hostile definitions before.

mod child;
mod pool;
pub mod program;
mod protocol;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use self::pool::{Pool, count};
use self::protocol::{Answer, MAX_MESSAGE_BYTES, Task};
use crate::ids::UserId;
use crate::text::CleanText;
use crate::{output_schema, prompt};

/// How long the task of a request waits for the account's turn and for a free process.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// Tasks of requests of one account at once: one works, the others wait. Each keeps its input in memory.
const REQUEST_TASKS: usize = 4;
const PROGRAM: &str = "definition-checker";

/// Why a definition was not checked, rendered or applied.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The definition cannot be used. The text is for the app's author and begins with a verb.
    #[error("{0}")]
    Refused(String),
    /// Too many tasks of the account wait. The same task may succeed a moment later.
    #[error("other checks of this account are not done yet")]
    Busy,
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

impl DefinitionChecker {
    /// Starts the checker of a service that answers requests, on this runtime. Fails if its program does not
    /// start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(REQUEST_PATIENCE, REQUEST_TASKS)
    }

    /// The same for a service whose tasks may wait for a free process for this long. `most_tasks`: how many
    /// tasks an account may have at once.
    pub fn start_with(patience: Duration, most_tasks: usize) -> anyhow::Result<Self> {
        let program = beside(&std::env::current_exe()?);
        let pool = Pool::start(program, patience, most_tasks)?;
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
        let kind = task.kind();
        let turn = self.pool.turn_of(account).inspect_err(|_| count(kind, "busy"))?;
        let message = serde_json::to_vec(task);
        let message = message.map_err(|error| CheckError::Unavailable(error.to_string()))?;
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(CheckError::Refused(format!("works on more than {MAX_MESSAGE_BYTES} bytes")));
        }
        let working = async move { turn.work(kind, &message).await }.in_current_span();
        // It ends with its caller: the client of a request may go, and a run may be cancelled.
        let answered = AbortOnDropHandle::new(self.runtime.spawn(working)).await;
        answered.map_err(|error| CheckError::Unavailable(error.to_string()))?
    }
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
