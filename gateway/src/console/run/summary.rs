//! What stands above the thread: how the run stands, why it waits, what it cost, how it ended.

use askama::Template;
use serde_json::Value;
use shared::apps::Limits;
use shared::ids::{AppId, ArtifactId, RunId};
use shared::runs::events::PublishedArtifact;
use shared::runs::{RunView, StoredError};

use super::super::markdown::to_html;
use super::super::when::{When, bytes, count, duration};
use crate::runs::is_over;

/// A file that the run published.
pub(super) struct File {
    pub(super) id: ArtifactId,
    pub(super) title: String,
    pub(super) size: String,
    pub(super) kind: String,
}

/// Why a run failed, for its first screen.
struct Failure {
    code: String,
    sentence: &'static str,
    message: String,
    step: Option<i32>,
    seq: Option<i64>,
    retryable: bool,
    kept: String,
}

/// How much of a limit is used.
struct Meter {
    label: &'static str,
    used: i64,
    most: i64,
    text: String,
}

/// See the module.
#[derive(Template)]
#[template(path = "run/summary.html")]
pub(super) struct Summary<'s> {
    id: RunId,
    app_id: AppId,
    app_version: i32,
    form_token: &'s str,
    status: &'s str,
    over: bool,
    started_from: String,
    model: &'s str,
    created: When,
    started: Option<When>,
    /// How long it took, or since when it runs.
    duration: Option<String>,
    since: Option<String>,
    attempt: i32,
    meters: Vec<Meter>,
    pending: Option<String>,
    failure: Option<Failure>,
    /// HTML that is safe.
    result: Option<String>,
    data: Option<String>,
    partial: bool,
    files: Vec<File>,
    webhook: Option<String>,
}

impl<'s> Summary<'s> {
    pub(super) fn of(run: &'s RunView, limits: &Limits, form_token: &'s str) -> Self {
        let over = is_over(run);
        let result = run.result.as_ref();
        let text = result.and_then(|result| result["text"].as_str()).filter(|text| !text.is_empty());
        let data = result.map(|result| &result["data"]).filter(|data| !data.is_null());
        let started_from = match run.api_key.as_ref().and_then(|key| key["name"].as_str()) {
            Some(key) => format!("API, key {key}"),
            None if run.source == "api" => "API".to_owned(),
            None => "console".to_owned(),
        };
        let used = |name: &str| run.usage[name].as_i64().unwrap_or_default();
        let meter = |label, used, most: u32| Meter {
            label,
            used,
            most: most.into(),
            text: format!("{} of {}", count(used), count(most.into())),
        };
        let meters = vec![
            meter("Steps", used("steps"), limits.steps),
            meter("Tokens", used("inputTokens") + used("outputTokens"), limits.tokens),
            meter("Tool calls", used("toolCalls"), limits.tool_calls),
            match run.started_at.zip(run.completed_at) {
                Some((from, to)) => meter("Seconds", (to - from).num_seconds(), limits.seconds),
                // They go by without a word of the run's: the age above counts them.
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
            status: &run.status,
            over,
            started_from,
            model: &run.chat_model_id,
            created: When(run.created_at),
            started: run.started_at.map(When),
            duration: run.started_at.zip(run.completed_at).map(|(from, to)| duration(from, to)),
            since: run.started_at.filter(|_| !over).map(shared::runs::format_time),
            attempt: run.attempt,
            meters,
            pending: run.pending.as_ref().map(why_pending),
            failure: run
                .error
                .as_ref()
                .and_then(read)
                .map(|error| Failure::of(error, text.is_some(), run.artifacts.len())),
            result: text.filter(|_| data.is_none()).map(to_html),
            data: data.and_then(|data| serde_json::to_string_pretty(data).ok()),
            partial: result.is_some_and(|result| result["partial"] == true),
            files: run.artifacts.iter().filter_map(|shown| Some(File::of(&read(shown)?))).collect(),
            webhook: run.webhook.as_ref().and_then(|webhook| webhook["status"].as_str()).map(str::to_owned),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(stored: &Value) -> Option<T> {
    T::deserialize(stored).ok()
}

impl File {
    pub(super) fn of(artifact: &PublishedArtifact) -> Self {
        Self {
            id: artifact.id,
            title: artifact.title.clone(),
            size: bytes(i64::try_from(artifact.size).unwrap_or(i64::MAX)),
            kind: artifact.media_type.clone(),
        }
    }

    /// Shown as a picture: what no browser takes for a document.
    pub(super) fn is_image(&self) -> bool {
        super::artifact::IMAGES.contains(&self.kind.as_str())
    }

    /// Shown as text.
    pub(super) fn is_text(&self) -> bool {
        shared::media_types::is_text(&self.kind)
    }
}

impl Failure {
    fn of(error: StoredError, text_kept: bool, files: usize) -> Self {
        let kept = match (text_kept, files) {
            (false, 0) => "Nothing was brought forth until then.".to_owned(),
            (true, 0) => "The last answer was kept.".to_owned(),
            (false, files) => format!("{files} file(s) were kept."),
            (true, files) => format!("The last answer and {files} file(s) were kept."),
        };
        Self {
            sentence: sentence(&error.code),
            code: error.code,
            message: error.message,
            step: error.step,
            seq: error.event_seq,
            retryable: error.retryable,
            kept,
        }
    }
}

/// Each code in one sentence.
fn sentence(code: &str) -> &'static str {
    match code {
        "model_error" => "The model's server refused the request, or its answer cannot be used.",
        "model_auth_failed" => {
            "The model's server refused the installation's key; an operator has to mend it."
        }
        "model_rate_limited" => "The model's server had too many requests.",
        "model_unavailable" => "The model's server was away or too slow.",
        "model_refused" => "The model, or a filter in front of it, declined to answer.",
        "context_length_exceeded" => "The conversation became longer than the model can read.",
        "prompt_error" => "The app's prompt could not be made from these inputs.",
        "tool_error" => "A tool failed in a way that the agent could not work around.",
        "sandbox_error" => "The sandbox did not start on the worker.",
        "invalid_result" => "The answer did not fit the app's output schema, not even after a repair.",
        "step_limit_exceeded" => "The model answered as often as the app allows and was not done.",
        "tool_call_limit_exceeded" => "The model wanted more tool calls than the app allows.",
        "token_limit_exceeded" => "The run used up the app's tokens.",
        "time_limit_exceeded" => "The run used up the app's seconds.",
        "output_limit_exceeded" => "The run brought forth more than the app allows.",
        "workspace_limit_exceeded" => "The run's files took more room than the app allows.",
        "queue_timeout" => "No worker began the run in time.",
        "worker_lost" => "Three workers in a row went silent over this run.",
        _ => "The run failed.",
    }
}

fn why_pending(pending: &Value) -> String {
    let ahead = pending["ahead"].as_i64().unwrap_or_default();
    let line = match ahead {
        0 => "It is the next of yours.".to_owned(),
        1 => "One of your runs is before it.".to_owned(),
        ahead => format!("{} of your runs are before it.", count(ahead)),
    };
    let why = match pending["reason"].as_str() {
        Some("no_worker_ready") => {
            "No worker is ready: it starts as soon as an operator starts one (run-worker)."
        }
        Some("user_concurrency_limit") => "As many of your runs are running as your plan allows at once.",
        _ => "It waits for a free worker.",
    };
    format!("{why} {line}")
}

/// Inputs as the page lists them.
pub(super) fn shown_inputs(inputs: &Value) -> Vec<(String, String)> {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    };
    inputs.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), shown(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::runs::ErrorCode;

    #[test]
    fn every_code_has_its_sentence() {
        for code in ErrorCode::ALL.iter().filter(|code| **code != ErrorCode::InternalError) {
            assert_ne!(sentence(code.as_str()), sentence("?"), "{}", code.as_str());
        }
    }

    #[test]
    fn a_pending_run_says_why() {
        assert_eq!(
            why_pending(&json!({"reason": "no_worker_ready", "ahead": 1})),
            "No worker is ready: it starts as soon as an operator starts one (run-worker). One of your runs is before it."
        );
        assert!(why_pending(&json!({"reason": "waiting_for_worker", "ahead": 2000})).contains("2,000"));
    }
}
