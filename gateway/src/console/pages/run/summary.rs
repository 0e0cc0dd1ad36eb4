//! The part above the thread: the run's status, why it waits, what it used, and how it ended.

use askama::Template;
use serde_json::Value;
use shared::ids::{AppId, ArtifactId, RunId};
use shared::limits::Limits;
use shared::runs::events::PublishedArtifact;
use shared::runs::{ErrorCode, Pending, RunView, ShownArtifact, ShownError, Source, WebhookState};
use shared::time::format_time;

use super::artifact::IMAGES;
use super::pages::Sources;
use crate::console::format::{Timestamp, bytes, count, counted, duration};
use crate::console::markdown::to_html;
use crate::console::shown::{IN_API, Room, Shown, TEXT_BYTES, json_text};

/// A file that the run published.
pub(crate) struct File {
    pub(crate) id: ArtifactId,
    pub(crate) title: String,
    pub(crate) size: String,
    pub(crate) kind: String,
}

/// Why a run failed.
struct Failure {
    code: String,
    sentence: &'static str,
    message: String,
    step: Option<i32>,
    seq: i64,
    retryable: bool,
    kept: String,
}

/// The state of the webhook of the run's end.
struct WebhookFact {
    status: String,
    tries: Option<String>,
    /// Why the last try failed.
    reason: Option<String>,
    next: Option<Timestamp>,
}

/// How much of a limit the run has used.
struct Meter {
    label: &'static str,
    used: i64,
    most: i64,
    text: String,
}

#[derive(Template)]
#[template(path = "run/summary.html")]
pub(crate) struct Summary<'s> {
    id: RunId,
    app_id: AppId,
    app_version: i32,
    form_token: &'s str,
    status: &'static str,
    over: bool,
    started_from: String,
    model: &'s str,
    created: Timestamp,
    started: Option<Timestamp>,
    /// Of a run that is over.
    duration: Option<String>,
    /// The start of a run that is not over.
    since: Option<String>,
    attempt: i32,
    meters: Vec<Meter>,
    pending: Option<String>,
    failure: Option<Failure>,
    /// Safe HTML.
    result: Option<String>,
    data: Option<Shown<'s>>,
    partial: bool,
    files: Vec<File>,
    sources: Option<Sources>,
    webhook: Option<WebhookFact>,
    contacted_hosts: String,
}

impl<'s> Summary<'s> {
    /// `running_cap` is how many runs the visitor's plan runs at a time.
    pub(crate) fn of(run: &'s RunView, limits: &Limits, running_cap: u32, form_token: &'s str) -> Self {
        let over = run.is_over();
        let result = run.result.as_ref().map(|result| &result.0);
        let text = result.map(|result| result.text.as_str()).filter(|text| !text.is_empty());
        let data = result.and_then(|result| result.data.as_ref()).filter(|data| !data.is_null());
        let started_from = match &run.api_key {
            Some(key) => format!("API, key {}", key.0.name),
            None if run.source == Source::Api.as_str() => "API".to_owned(),
            None => run.source.clone(),
        };
        let usage = run.usage.0;
        let meter = |label, used, most: u32| Meter {
            label,
            used,
            most: most.into(),
            text: format!("{} of {}", count(used), count(most.into())),
        };
        let meters = vec![
            meter("Steps", usage.steps.into(), limits.steps),
            meter("Tokens", usage.input_tokens + usage.output_tokens, limits.tokens),
            meter("Tool calls", usage.tool_calls.into(), limits.tool_calls),
            match run.started_at.zip(run.completed_at) {
                Some((from, to)) => meter("Seconds", (to.0 - from.0).num_seconds(), limits.seconds),
                // The page shows the age of a run that runs, so the meter need not grow.
                None => Meter {
                    text: format!("{} at most", limits.seconds),
                    ..meter("Seconds", 0, limits.seconds)
                },
            },
        ];
        Self {
            id: run.id,
            app_id: run.app_id,
            app_version: run.app_version,
            form_token,
            status: run.status.as_str(),
            over,
            started_from,
            model: &run.chat_model_id,
            created: Timestamp(run.created_at.0),
            started: run.started_at.map(|at| Timestamp(at.0)),
            duration: run.started_at.zip(run.completed_at).map(|(from, to)| duration(from.0, to.0)),
            since: run.started_at.filter(|_| !over).map(|at| format_time(at.0)),
            attempt: run.attempt,
            meters,
            pending: run.pending.as_ref().map(|pending| why_pending(&pending.0, running_cap)),
            failure: run
                .error
                .as_ref()
                .map(|error| Failure::of(&error.0, text.is_some(), run.artifacts.len())),
            result: text
                .filter(|_| data.is_none())
                .map(|text| to_html(text, &mut Room::new(TEXT_BYTES, IN_API))),
            data: data.map(|data| Room::new(TEXT_BYTES, IN_API).show(json_text(data))),
            partial: result.is_some_and(|result| result.partial),
            files: run.artifacts.iter().map(|artifact| File::of(&artifact.0)).collect(),
            sources: result.and_then(|result| Sources::of(&result.sources)),
            contacted_hosts: run.contacted_hosts.join(", "),
            webhook: run.webhook.0.state().map(WebhookFact::of),
        }
    }
}

impl File {
    /// The artifact in an event.
    pub(crate) fn published(artifact: &PublishedArtifact) -> Self {
        Self {
            id: artifact.id,
            title: artifact.title.clone(),
            size: bytes(i64::try_from(artifact.size).unwrap_or(i64::MAX)),
            kind: artifact.media_type.clone(),
        }
    }

    pub(crate) fn of(artifact: &ShownArtifact) -> Self {
        Self {
            id: artifact.id,
            title: artifact.title.clone(),
            size: bytes(artifact.size),
            kind: artifact.r#type.clone(),
        }
    }

    /// Whether the page shows it as an image.
    pub(crate) fn is_image(&self) -> bool {
        IMAGES.contains(&self.kind.as_str())
    }

    /// Whether the page can show its text.
    pub(crate) fn is_text(&self) -> bool {
        shared::media_types::is_text(&self.kind)
    }
}

impl WebhookFact {
    fn of(webhook: &WebhookState) -> Self {
        let tries = usize::try_from(webhook.attempts).unwrap_or_default();
        Self {
            status: webhook.status.clone(),
            tries: (tries > 0).then(|| format!("{tries} {}", if tries == 1 { "try" } else { "tries" })),
            reason: webhook.last_error.as_ref().map(|error| error.message.clone()),
            next: webhook.next_attempt_at.filter(|_| tries > 0).map(|at| Timestamp(at.0)),
        }
    }
}

impl Failure {
    fn of(error: &ShownError, text_kept: bool, files: usize) -> Self {
        let kept = match (text_kept, files) {
            (false, 0) => "No output was saved.".to_owned(),
            (true, 0) => "The last answer was saved.".to_owned(),
            (false, files) => format!("{} saved.", were(files)),
            (true, files) => format!("The last answer was saved, and {} saved.", were(files)),
        };
        Self {
            code: error.code.clone(),
            // A newer build may have stored a code that this one does not know.
            sentence: error.code.parse().map_or("The run failed.", ErrorCode::meaning),
            message: error.message.clone(),
            step: error.step,
            seq: error.event_seq,
            retryable: error.retryable,
            kept,
        }
    }
}

/// "1 artifact was", "3 artifacts were".
fn were(files: usize) -> String {
    format!("{} {}", counted(files, "artifact"), if files == 1 { "was" } else { "were" })
}

fn why_pending(pending: &Pending, running_cap: u32) -> String {
    let ahead = match pending.ahead {
        0 => "It is the next of your runs.".to_owned(),
        1 => "One of your runs starts before it.".to_owned(),
        ahead => format!("{} of your runs start before it.", count(ahead)),
    };
    let why = match pending.reason.as_str() {
        "no_worker_ready" => {
            "No worker is ready. The run starts when an operator starts a run-worker.".to_owned()
        }
        "user_concurrency_limit" => format!("Queued: your plan runs {running_cap} at a time."),
        _ => "The run waits for a free worker.".to_owned(),
    };
    format!("{why} {ahead}")
}

/// The names and texts of inputs. All of them together have [`TEXT_BYTES`] at most.
pub(crate) fn input_texts(inputs: &Value) -> Vec<(String, Shown<'static>)> {
    let mut room = Room::new(TEXT_BYTES, IN_API);
    let mut shown = |value: &Value| match value {
        Value::String(text) => room.show(text.clone()),
        Value::Null => room.show("–"),
        other => room.show(other.to_string()),
    };
    inputs.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), shown(value))).collect()
}

#[cfg(test)]
mod tests {
    use shared::time::Time;

    use super::*;

    #[test]
    fn a_pending_run_says_why() {
        let why = |reason: &str, ahead| {
            why_pending(&Pending { reason: reason.to_owned(), since: Time::default(), ahead }, 2)
        };
        assert_eq!(
            why("no_worker_ready", 1),
            "No worker is ready. The run starts when an operator starts a run-worker. \
             One of your runs starts before it."
        );
        assert_eq!(
            why("user_concurrency_limit", 0),
            "Queued: your plan runs 2 at a time. It is the next of your runs."
        );
        assert!(why("waiting_for_worker", 2000).contains("2,000"));
    }
}
