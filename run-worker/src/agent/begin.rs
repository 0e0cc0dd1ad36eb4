//! The start of a run: its app, its model, and the first messages.

use std::sync::Arc;

use shared::apps::AppDefinition;
use shared::output_schema::OutputSchema;
use shared::prompt;
use shared::runs::events::NoteKind;
use shared::runs::{ErrorCode, RunError};

use super::{Agent, events};
use crate::context::Context;
use crate::leases::store::Claimed;
use crate::model::OpenAiModel;

type Prepared<'a> = (AppDefinition, &'a OpenAiModel, Option<Arc<OutputSchema>>);

/// Reads the app and finds its model. The error ends the run.
pub(super) fn prepare<'a>(context: &'a Context, claimed: &Claimed) -> Result<Prepared<'a>, RunError> {
    let app = claimed.app().map_err(|error| unreadable(&error.to_string()))?;
    let schema = app.output.as_ref().map(|output| OutputSchema::compile(&output.schema)).transpose();
    let schema = schema.map_err(|refusal| unreadable(&refusal.to_string()))?.map(Arc::new);
    let model = context.models.get(&claimed.chat_model_id).ok_or_else(|| {
        let message = format!("the model {:?} is no longer in CAPI_MODELS", claimed.chat_model_id);
        RunError::new(ErrorCode::ModelUnavailable, &message, Some(1))
    })?;
    if let Some(error) = context.tools.of(&app.tools).missing() {
        return Err(error);
    }
    Ok((app, model, schema))
}

fn unreadable(cause: &str) -> RunError {
    tracing::error!(cause, "failed to read a stored app definition");
    RunError::new(ErrorCode::InternalError, "the app's definition cannot be read", None)
}

/// Adds the app's instructions, the rendered prompt, and the list of the caller's files.
pub(super) fn begin(agent: &mut Agent<'_, '_>) -> Result<(), RunError> {
    let prompt = prompt::render(&agent.app.prompt, &agent.claimed.inputs)
        .map_err(|error| RunError::new(ErrorCode::PromptError, &format!("the prompt {error}"), None))?;
    let instructions = instructions(&agent.app, agent.model.traits().json_schema);
    if !instructions.trim().is_empty() {
        agent.log.add(events::system(instructions));
    }
    agent.log.add(events::user(prompt.into_string()));
    if !agent.inputs.is_empty() {
        let lines = agent
            .inputs
            .iter()
            .map(|file| format!("\n- inputs/{} ({}, {} bytes)", file.name, file.media_type, file.size));
        let text = format!("The caller's files are in the workspace:{}", lines.collect::<String>());
        agent.log.add(events::note(NoteKind::Files, text));
    }
    Ok(())
}

/// The instructions ask for the output schema in words if the model does not take a schema.
fn instructions(app: &AppDefinition, model_takes_schema: bool) -> String {
    match app.output.as_ref().filter(|_| !model_takes_schema) {
        None => app.instructions.clone(),
        Some(output) => {
            let request = format!("Answer only with JSON that matches this JSON Schema:\n{}", output.schema);
            format!("{}\n\n{request}", app.instructions).trim_start().to_owned()
        }
    }
}
