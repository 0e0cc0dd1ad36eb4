//! The agent asks the model and calls the tools that the model requests, until the model answers or a limit
//! ends the run. The log alone decides what comes next (`transcript`), so taking a run over needs no code of
//! its own.

mod ask;
mod begin;
mod budget;
mod call;
mod citations;
mod closing;
mod events;
mod files;
mod final_answer;
mod invoke;
mod log;
mod over_quota;
mod pictures;
mod published;
mod repeated;
mod result;
mod run_sources;
mod searches;
mod sources;
mod transcript;
mod validate;
mod window;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use model_client::ModelClient;
use shared::apps::{AppDefinition, InputType};
use shared::db::DbError;
use shared::runs::events::EventData;
use shared::runs::{RunEnd, RunError, RunResult};
use tokio::time::{Instant, timeout_at};

use crate::context::Context;
use crate::egress::{Egress, HostLog, recorded_hosts};
use crate::leases::store::Claimed;
use crate::retry_on_outage::retry_on_outage;
use crate::workspace::{InputFile, Workspace, WorkspaceSlot};
use budget::Budget;
pub use files::{close, delete_snapshots};
use log::Log;
use pictures::LoadedPictures;
use run_sources::with_sources;
pub use transcript::{Next, Transcript};

/// How the work on a run came out. It is not recorded yet.
pub struct AgentOutcome {
    /// The events before the terminal one.
    pub last_events: Vec<EventData>,
    pub end: RunEnd,
}

impl AgentOutcome {
    #[must_use]
    pub fn failed(error: RunError) -> Self {
        Self { last_events: Vec::new(), end: RunEnd::Failed(error, None) }
    }
}

/// Why this attempt stops without an end to record.
#[derive(Debug)]
pub enum Stopped {
    /// A write was stale: this attempt no longer holds the run.
    Fenced,
    /// The database rejects a step, or is away for the time of a lease.
    Database(DbError),
    /// An event of the conversation cannot be read.
    Unreadable { seq: i64 },
    /// This worker lacks what the run needs. Another one may take the run after the pause.
    Elsewhere { pause: Duration },
}

impl From<DbError> for Stopped {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

/// Why a step did not succeed, and so what follows.
enum Halt {
    /// The run fails.
    Fail(RunError),
    /// The attempt stops.
    Stop(Stopped),
}

impl From<RunError> for Halt {
    fn from(error: RunError) -> Self {
        Self::Fail(error)
    }
}

impl From<Stopped> for Halt {
    fn from(stopped: Stopped) -> Self {
        Self::Stop(stopped)
    }
}

impl From<DbError> for Halt {
    fn from(error: DbError) -> Self {
        Self::Stop(error.into())
    }
}

struct Agent<'a, 'l> {
    context: &'a Context,
    claimed: &'a Claimed,
    app: AppDefinition,
    model: &'a ModelClient,
    budget: Budget,
    log: &'l mut Log<'a>,
    /// Present if the app has tools for files.
    workspace: Option<Workspace>,
    /// The caller's files. Read only if a tool or the model can read files.
    inputs: Vec<InputFile>,
    /// The pictures among them that are sent to the model.
    pictures: LoadedPictures,
    /// What the tools may contact.
    egress: Arc<Egress>,
    refused: ask::Refused,
}

/// Works on the run up to its end. `last_seq` is the number of the last recorded event, at any time.
pub async fn work(
    context: &Context,
    claimed: &Claimed,
    slot: &WorkspaceSlot,
    last_seq: &AtomicI64,
) -> Result<AgentOutcome, Stopped> {
    let now = Instant::now();
    let mut log = Log::open(context, claimed, last_seq).await?;
    let end = match produce_result(context, claimed, slot, &mut log, now).await {
        Ok(result) => RunEnd::Completed(with_sources(result, log.transcript())),
        Err(Halt::Fail(error)) => {
            let result = partial(log.transcript());
            RunEnd::Failed(error, result.map(|result| with_sources(result, log.transcript())))
        }
        Err(Halt::Stop(stopped)) => return Err(stopped),
    };
    Ok(AgentOutcome { last_events: log.take_unrecorded(), end })
}

async fn produce_result<'a>(
    context: &'a Context,
    claimed: &'a Claimed,
    slot: &WorkspaceSlot,
    log: &mut Log<'a>,
    now: Instant,
) -> Result<RunResult, Halt> {
    let (app, model) = match begin::prepare(context, claimed) {
        Ok(ready) => ready,
        Err(why) => return Err(begin::decide(context, claimed, why).await),
    };
    let limits = app.limits.under(context.plans.get(&claimed.plan));
    let budget = Budget::new(limits, claimed.seconds_used, now);
    begin::check_schema(context, claimed, &app, &budget, log.transcript().spent()).await?;
    let (has_files, sees) = (context.tools.of(&app.tools).has_files(), model.settings().vision);
    let has_inputs = app.inputs.iter().any(|field| field.r#type == InputType::File);
    let inputs = if has_files || has_inputs || pictures::may_be_shown(log.transcript(), sees) {
        files::inputs(context, claimed.id).await?
    } else {
        Vec::new()
    };
    let given = (&app, inputs.as_slice());
    let pictures = pictures::load(context, claimed, given, log.transcript(), sees, &budget).await?;
    log.show(&pictures);
    let workspace = if has_files {
        Some(files::open(context, claimed, (&app, &inputs), log.transcript(), slot, &budget).await?)
    } else {
        None
    };
    let refused = ask::Refused::default();
    let egress = Arc::new(egress(context, claimed, &app, log.transcript()).await?);
    Agent { context, claimed, app, model, budget, log, workspace, inputs, pictures, egress, refused }
        .run()
        .await
}

/// What the tools may contact. Hosts that a lost call of a former attempt recorded count too.
async fn egress(
    context: &Context,
    claimed: &Claimed,
    app: &AppDefinition,
    transcript: &Transcript,
) -> Result<Egress, DbError> {
    let mut contacted = transcript.contacted_hosts().clone();
    if claimed.attempt > 1 {
        let read = |mut conn| async move { recorded_hosts(&mut conn, claimed.id).await };
        contacted.extend(retry_on_outage(&context.db, context.lease, "read the hosts", read).await?);
    }
    let egress = Egress::new(&app.fetch, &claimed.inputs, &contacted);
    Ok(egress.with_log(HostLog::new(context.db.clone(), context.lease, claimed.fence(), contacted)))
}

fn partial(transcript: &Transcript) -> Option<RunResult> {
    let text = transcript.last_text().to_owned();
    let any = !text.is_empty() || transcript.artifacts() > 0;
    any.then_some(RunResult { text, partial: true, ..RunResult::default() })
}

impl Agent<'_, '_> {
    async fn run(mut self) -> Result<RunResult, Halt> {
        loop {
            let transcript = self.log.transcript();
            let spent = *transcript.spent();
            match (transcript.next(), self.exceeded()) {
                (Next::Begin, _) => begin::begin(&mut self).await?,
                // The error for an incomplete answer says more than the limit that the answer also exceeded.
                (Next::Answered, exceeded) if exceeded.is_none() || transcript.is_incomplete() => {
                    if let Some(result) = self.result().await? {
                        return Ok(result);
                    }
                }
                (Next::Answered, Some(error)) => return Err(error.into()),
                (Next::Call, exceeded) => self.call_or_refuse(exceeded).await?,
                // A run that exceeded a limit asks for its last answer, if there are steps and tokens left.
                (Next::Ask | Next::Answered, exceeded) => match self.budget.exhausted(&spent) {
                    Some(error) => return Err(exceeded.unwrap_or(error).into()),
                    None => ask::ask(&mut self).await?,
                },
            }
        }
    }

    /// Waits for the work, at most until the run's time is over.
    async fn until_deadline<T>(&self, work: impl Future<Output = T>) -> Result<T, RunError> {
        let spent = self.log.transcript().spent();
        timeout_at(self.budget.deadline(), work).await.map_err(|_| self.budget.out_of_time(spent))
    }
}
