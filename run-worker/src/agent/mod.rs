//! What an agent does with a run: so far one question to the model, whose answer is the result.

mod transcript;

use serde_json::json;
use shared::apps::AppDefinition;
use shared::db::DbError;
use shared::events::{self, NewEvent};
use shared::prompt;
use shared::runs::{Ended, ErrorCode, RunError, RunResult, UsageDelta};
use std::time::Duration;

use crate::claim::{Claimed, append};
use crate::context::Context;
use crate::model::{Answer, CONTENT_FILTER, LENGTH, ModelError};
use crate::patience::patiently;
pub use transcript::Message;

/// How a run's work came out, not recorded yet.
pub struct Work {
    /// Events before the terminal one.
    pub last_events: Vec<NewEvent>,
    /// The end.
    pub ended: Ended,
    /// What it took.
    pub usage: UsageDelta,
}

impl Work {
    /// Ended with an error before anything was produced.
    #[must_use]
    pub fn failed(error: RunError) -> Self {
        Self { last_events: Vec::new(), ended: Ended::Failed(error, None), usage: UsageDelta::default() }
    }
}

/// Why there is nothing to record.
#[derive(Debug)]
pub enum Stopped {
    /// The run is no longer this attempt's.
    Fenced,
    /// The database refuses a step, or does not answer for a lease time.
    Database(DbError),
}

impl From<DbError> for Stopped {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

/// Executes the run up to its end.
pub async fn work(context: &Context, claimed: &Claimed) -> Result<Work, Stopped> {
    let app = match claimed.app() {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "a stored definition cannot be read");
            return Ok(Work::failed(RunError::new(
                ErrorCode::InternalError,
                "the app's definition cannot be read",
                None,
            )));
        }
    };
    let messages = match opening(context, claimed, &app).await? {
        Ok(messages) => messages,
        Err(error) => return Ok(Work::failed(error)),
    };
    let limits = app.limits.under(context.plans.get(&claimed.plan));
    let Some(model) = context.models.get(&claimed.chat_model_id) else {
        let message = format!("the model {:?} is no longer in CAPI_MODELS", claimed.chat_model_id);
        return Ok(Work::failed(RunError::new(ErrorCode::ModelUnavailable, &message, Some(1))));
    };
    let left = f64::from(limits.seconds) - claimed.seconds_used;
    let asking = model.ask(&messages, limits.tokens);
    let answered = tokio::time::timeout(Duration::from_secs_f64(left.max(0.0)), asking).await;
    Ok(match answered {
        Err(_) => {
            let message = format!("step 1: the run used up its {} seconds", limits.seconds);
            Work::failed(RunError::new(ErrorCode::TimeLimitExceeded, &message, Some(1)))
        }
        Ok(Err(error)) => Work::failed(model_failure(&error)),
        Ok(Ok(answer)) => judge(answer, limits.tokens),
    })
}

/// The messages that open the conversation: from the log where an attempt before this one recorded them.
async fn opening(
    context: &Context,
    claimed: &Claimed,
    app: &AppDefinition,
) -> Result<Result<Vec<Message>, RunError>, Stopped> {
    let recorded =
        if claimed.attempt == 1 {
            Vec::new()
        } else {
            patiently(context, "to read the log", |mut conn| async move {
                events::read(&mut conn, claimed.id).await
            })
            .await?
        };
    let messages = transcript::rebuild(&recorded);
    if !messages.is_empty() {
        return Ok(Ok(messages));
    }
    let prompt = match prompt::render(&app.prompt, &claimed.inputs) {
        Ok(prompt) => prompt,
        Err(error) => {
            return Ok(Err(RunError::new(ErrorCode::PromptError, &format!("the prompt {error}"), None)));
        }
    };
    let messages = Message::opening(&app.instructions, &prompt);
    let events: Vec<_> = messages.iter().map(Message::event).collect();
    let recorded = &events;
    let written = patiently(context, "to record a step", |mut conn| async move {
        append(&mut conn, claimed.fence(), claimed.last_seq, recorded, context.lease.lease()).await
    })
    .await?;
    if written { Ok(Ok(messages)) } else { Err(Stopped::Fenced) }
}

/// The answer is the result, if it is whole and within the budget; else an error that keeps it.
fn judge(answer: Answer, token_limit: u32) -> Work {
    let usage =
        UsageDelta { input_tokens: answer.input_tokens, output_tokens: answer.output_tokens, steps: 1 };
    let message = NewEvent::message(json!({
        "role": "assistant", "content": &*answer.text, "finishReason": answer.finish_reason,
        "usage": {"inputTokens": answer.input_tokens, "outputTokens": answer.output_tokens},
    }));
    let text = answer.text.into_string();
    let over_budget = answer.input_tokens.saturating_add(answer.output_tokens) > i64::from(token_limit);
    let error = match answer.finish_reason.as_str() {
        LENGTH => Some((
            ErrorCode::TokenLimitExceeded,
            "step 1: the model's answer was cut at its length limit; raise max_output_tokens or limits.tokens",
        )),
        CONTENT_FILTER => Some((
            ErrorCode::ModelRefused,
            "step 1: the model's content filter cut the answer; change the inputs or the app's instructions",
        )),
        "abort" | "cancelled" | "error" => {
            Some((ErrorCode::ModelError, "step 1: the model's server broke the answer off"))
        }
        _ if over_budget => Some((
            ErrorCode::TokenLimitExceeded,
            "step 1: the model used more tokens than limits.tokens allows",
        )),
        _ => None,
    };
    let ended = match error {
        None => Ended::Completed(RunResult { text, partial: false }),
        Some((code, what)) => {
            let partial = (!text.is_empty()).then_some(RunResult { text, partial: true });
            Ended::Failed(RunError::new(code, what, Some(1)), partial)
        }
    };
    Work { last_events: vec![message], ended, usage }
}

fn model_failure(error: &ModelError) -> RunError {
    RunError::new(error.code(), &format!("step 1: {error}"), Some(1))
}
