//! The start of a run: its app, its model, and the first messages.

use std::fmt::Write as _;

use model_client::ModelClient;
use shared::apps::AppDefinition;
use shared::config::{ModelSettings, StructuredOutput};
use shared::definition_checker::CheckError;
use shared::runs::events::NoteKind;
use shared::runs::{ErrorCode, RunError};
use tokio::time::timeout_at;

use super::budget::{Budget, Spent};
use super::{Agent, Halt, Stopped, events, files, final_answer, pictures};
use crate::context::Context;
use crate::leases::elsewhere;
use crate::leases::store::Claimed;
use crate::retry_on_outage::retry_on_outage;
use crate::search;
use crate::workspace::InputFile;

/// Why a worker does not begin a run.
pub(super) enum Unready {
    /// The run fails.
    Fail(RunError),
    /// The files of this worker lack something. Those of another one may have it.
    Missing(RunError),
}

impl From<RunError> for Unready {
    fn from(error: RunError) -> Self {
        Self::Fail(error)
    }
}

/// Reads the app and finds its model.
pub(super) fn prepare<'a>(
    context: &'a Context,
    claimed: &Claimed,
) -> Result<(AppDefinition, &'a ModelClient), Unready> {
    let app = claimed.app().map_err(|error| unreadable(&error.to_string()))?;
    let model = context.models.get(&claimed.chat_model_id).ok_or_else(|| {
        let message = format!("the model {:?} is not in CAPI_MODELS", claimed.chat_model_id);
        Unready::Missing(RunError::new(ErrorCode::ModelUnavailable, &message, Some(1)))
    })?;
    if let Some(error) = context.tools.of(&app.tools).missing() {
        return Err(error.into());
    }
    if let Some(missing) = search::missing_for(context.search.as_deref(), &app) {
        let error = RunError::new(ErrorCode::ToolError, &missing.to_string(), None);
        return Err(Unready::Missing(error));
    }
    Ok((app, model))
}

/// Decides about a run that this worker cannot begin: another worker gets it, or it fails because it waited
/// for one long enough.
pub(super) async fn decide(context: &Context, claimed: &Claimed, why: Unready) -> Halt {
    let error = match why {
        Unready::Fail(error) => return error.into(),
        Unready::Missing(error) => error,
    };
    let what = "read how long the run waits";
    let reading = retry_on_outage(&context.db, context.lease, what, |mut conn| async move {
        elsewhere::waited(&mut conn, claimed.id).await
    });
    let waited = match reading.await {
        Ok(waited) => waited,
        Err(error) => return error.into(),
    };
    let Some(pause) = elsewhere::pause(waited, context.rollout) else { return error.into() };
    tracing::warn!(
        attempts = waited.attempts, cause = %error.message, pause_ms = pause.as_millis(),
        "this worker cannot execute the run; giving it back for another one"
    );
    Stopped::Elsewhere { pause }.into()
}

/// Checks the app's output schema before the first request, so that an unusable schema costs no answer.
pub(super) async fn check_schema(
    context: &Context,
    claimed: &Claimed,
    app: &AppDefinition,
    budget: &Budget,
    spent: &Spent,
) -> Result<(), RunError> {
    let Some(output) = &app.output else { return Ok(()) };
    let checking = context.checker.check_schema(claimed.user_id, &output.schema);
    let checked = timeout_at(budget.deadline(), checking).await.map_err(|_| budget.out_of_time(spent))?;
    checked.map_err(|error| not_applied(ErrorCode::InvalidApp, "the app's output schema", &error))
}

/// The error of a prompt or a schema that was not applied.
pub(super) fn not_applied(code: ErrorCode, what: &str, error: &CheckError) -> RunError {
    match error {
        CheckError::Refused(why) => RunError::new(code, &format!("{what} {why}"), None),
        CheckError::Busy | CheckError::Unavailable(_) => {
            tracing::error!(%error, "failed to check {what}");
            RunError::new(ErrorCode::InternalError, &format!("the worker could not check {what}"), None)
        }
    }
}

fn unreadable(cause: &str) -> RunError {
    tracing::error!(cause, "failed to read a stored app definition");
    RunError::new(ErrorCode::InternalError, "the app's definition cannot be read", None)
}

/// Adds the app's instructions, the rendered prompt, and the list of the caller's files.
pub(super) async fn begin(agent: &mut Agent<'_, '_>) -> Result<(), RunError> {
    let (checker, claimed) = (&agent.context.checker, agent.claimed);
    let rendering = checker.render_prompt(claimed.user_id, &agent.app.prompt, &claimed.inputs);
    let rendered = agent.until_deadline(rendering).await?;
    let prompt = rendered.map_err(|error| not_applied(ErrorCode::PromptError, "the prompt", &error))?;
    let instructions = instructions(&agent.app, &agent.model.settings());
    if !instructions.trim().is_empty() {
        agent.log.add(events::system(instructions));
    }
    let pictures = pictures::logged(agent);
    let files = if files::uses_inputs(&agent.app) && !agent.inputs.is_empty() {
        Some(list(&agent.inputs, |file| agent.pictures.get(&file.id).is_some()))
    } else {
        pictures::names(&pictures)
    };
    agent.log.add(events::user(prompt.into_string(), pictures));
    agent.log.show(&agent.pictures);
    if let Some(text) = files {
        agent.log.add(events::note(NoteKind::Files, text));
    }
    Ok(())
}

/// The list of the caller's files. Pictures are numbered in the order of the prompt's message.
fn list(files: &[InputFile], is_shown: impl Fn(&InputFile) -> bool) -> String {
    let mut text = "The caller's files are in the workspace:".to_owned();
    let mut picture = 0;
    for file in files {
        let InputFile { name, media_type, size, .. } = file;
        let _ = write!(text, "\n- inputs/{name} ({media_type}, {size} bytes)");
        if is_shown(file) {
            picture += 1;
            let _ = write!(text, ", shown to you as picture {picture}");
        }
    }
    text
}

/// The app's instructions. They also hold the output schema if no request before a repair carries it.
fn instructions(app: &AppDefinition, settings: &ModelSettings) -> String {
    let Some(output) = &app.output else { return app.instructions.clone() };
    let is_tool = settings.structured_output == StructuredOutput::Tool && settings.tools;
    let is_enforced = settings.structured_output == StructuredOutput::ResponseFormat
        && settings.sends_schema(!app.tools.is_empty());
    let request = if is_tool {
        final_answer::INSTRUCTIONS.to_owned()
    } else if is_enforced {
        return app.instructions.clone();
    } else {
        format!("Answer only with JSON that matches this JSON Schema:\n{}", output.schema)
    };
    format!("{}\n\n{request}", app.instructions).trim_start().to_owned()
}
