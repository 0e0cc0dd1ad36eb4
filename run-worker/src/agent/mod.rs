//! The agent: ask the model, call the tools that it wants, until it answers or a budget ends it. What comes next is decided by the
//! log alone (`transcript`), so an attempt that takes a run over needs no code of its own.

mod ask;
mod begin;
mod budget;
mod call;
mod events;
mod files;
mod judge;
mod log;
mod transcript;
mod window;

use std::sync::Arc;

use shared::apps::AppDefinition;
use shared::db::DbError;
use shared::output_schema::OutputSchema;
use shared::runs::events::{EventData, NoteKind};
use shared::runs::{Ended, ErrorCode, RunError, RunResult};
use tokio::time::Instant;

use crate::context::Context;
use crate::leases::store::Claimed;
use crate::model::OpenAiModel;
use crate::workspace::{InputFile, Workspace, WorkspaceSlot};
use budget::Budget;
pub use files::{close, forget_snapshots};
use judge::{Verdict, broken_off, judge};
use log::Log;
pub use transcript::{Next, Transcript};

/// For comparing an answer with the app's schema.
const TIME_TO_JUDGE: std::time::Duration = std::time::Duration::from_secs(10);

/// How the run ends. The caller records it.
pub struct RunEnd {
    /// Events before the terminal one.
    pub last_events: Vec<EventData>,
    /// The end.
    pub ended: Ended,
}

impl RunEnd {
    /// Ended with an error, and nothing more to tell.
    #[must_use]
    pub fn failed(error: RunError) -> Self {
        Self { last_events: Vec::new(), ended: Ended::Failed(error, None) }
    }
}

/// Why there is nothing to record.
#[derive(Debug)]
pub enum Stopped {
    /// The run is no longer this attempt's.
    Fenced,
    /// The database refuses a step, or does not answer for a lease time.
    Database(DbError),
    /// A recorded event is not as it must be.
    UnreadableLog(serde_json::Error),
}

impl From<serde_json::Error> for Stopped {
    fn from(error: serde_json::Error) -> Self {
        Self::UnreadableLog(error)
    }
}

impl From<DbError> for Stopped {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

/// One run under this attempt's hands.
struct Agent<'a> {
    context: &'a Context,
    claimed: &'a Claimed,
    app: AppDefinition,
    model: &'a OpenAiModel,
    schema: Option<Arc<OutputSchema>>,
    budget: Budget,
    log: Log<'a>,
    /// Where the app has tools for files.
    workspace: Option<Workspace>,
    /// The caller's files.
    inputs: Vec<InputFile>,
}

/// Executes the run up to its end.
pub async fn work(context: &Context, claimed: &Claimed, slot: &WorkspaceSlot) -> Result<RunEnd, Stopped> {
    let now = Instant::now();
    let mut log = Log::open(context, claimed).await?;
    let ended = match begin::prepare(context, claimed) {
        Ok((app, model, schema)) => {
            let limits = app.limits.under(context.plans.get(&claimed.plan));
            let budget = Budget::new(limits, claimed.seconds_used, now);
            match files::open(context, claimed, &app, log.transcript(), slot, &budget).await? {
                Ok((workspace, inputs)) => {
                    let mut agent =
                        Agent { context, claimed, app, model, schema, budget, log, workspace, inputs };
                    let ended = agent.run().await?;
                    log = agent.log;
                    ended
                }
                Err(error) => Ended::Failed(error, partial(log.transcript())),
            }
        }
        Err(error) => Ended::Failed(error, partial(log.transcript())),
    };
    Ok(RunEnd { last_events: log.take_unrecorded(), ended })
}

fn partial(transcript: &Transcript) -> Option<RunResult> {
    let text = transcript.last_text().to_owned();
    let any = !text.is_empty() || transcript.artifacts() > 0;
    any.then_some(RunResult { text, data: None, partial: true })
}

impl Agent<'_> {
    async fn run(&mut self) -> Result<Ended, Stopped> {
        loop {
            let spent = *self.log.transcript().spent();
            let failed = match (self.log.transcript().next(), self.budget.exceeded(&spent)) {
                (Next::Begin, _) => begin::begin(self).err(),
                // What was cut off says so itself, and has most often used up something too.
                (Next::Answered, exceeded) if exceeded.is_none() || self.log.transcript().is_incomplete() => {
                    match self.answered().await {
                        Some(ended) => return Ok(ended),
                        None => continue,
                    }
                }
                (_, Some(error)) => Some(error),
                (Next::Call, None) => call::call_tools(self).await?.err(),
                (Next::Ask | Next::Answered, None) => match self.budget.exhausted(&spent) {
                    Some(error) => Some(error),
                    None => ask::ask(self).await?.err(),
                },
            };
            if let Some(error) = failed {
                return Ok(self.fails(error));
            }
        }
    }

    fn fails(&self, error: RunError) -> Ended {
        Ended::Failed(error, partial(self.log.transcript()))
    }

    /// The end, unless the model gets one more turn to mend its answer.
    async fn answered(&mut self) -> Option<Ended> {
        let transcript = self.log.transcript();
        let (step, spent) = (transcript.spent().steps(), *transcript.spent());
        if transcript.is_incomplete() {
            return Some(self.fails(broken_off(transcript.finish_reason(), step)));
        }
        let why = match self.judge().await {
            Verdict::Done(result) => return Some(Ended::Completed(result)),
            Verdict::Mismatch(why) => why,
        };
        if transcript.has_note(&NoteKind::Repair) || self.budget.exhausted(&spent).is_some() {
            let message = format!("step {step}: the answer does not match the app's output schema: {why}");
            return Some(self.fails(RunError::new(ErrorCode::InvalidResult, &message, Some(step))));
        }
        let text = format!(
            "Your answer does not match the JSON Schema that it must match: {why}. Answer again, with the corrected \
             JSON alone."
        );
        self.log.add(events::note(NoteKind::Repair, text));
        None
    }

    /// A large answer may take its time to be judged: not on a thread that others need, and not for ever.
    async fn judge(&self) -> Verdict {
        let text = self.log.transcript().last_text().to_owned();
        let Some(schema) = self.schema.clone() else { return judge(&text, None) };
        let judging = tokio::task::spawn_blocking(move || judge(&text, Some(&schema)));
        match tokio::time::timeout(TIME_TO_JUDGE, judging).await {
            Ok(Ok(verdict)) => verdict,
            _ => Verdict::Mismatch("it cannot be judged in time; simplify the schema".to_owned()),
        }
    }
}
