//! Scripts of the scripted model, `SCRIPT [step, …]` in a prompt. The number of answers in the conversation
//! selects the step; after the last step it is repeated. A step is an object with these members:
//! - `say` (text) and `call` (`[[tool, raw arguments], …]`) are the answer, and `repeat` says how often its
//!   text is sent.
//! - `finish` is its finish reason in the words of chat completions, by default `stop` or `tool_calls`.
//! - `usage` is `[input, output]` in tokens; null sends no usage. `"measured"` counts the bytes of the
//!   request, and those that the prompt cache holds (see `prefix`).
//! - `raw` is sent unchanged instead of all these.
//! - `hold` waits for the release before the answer; `wait` waits this many milliseconds.
//! - `fail: [times, how, …]` fails so many times in this way, then in the next ones, before the answer.
//!   `how` is a status, `"cut"`, `"stall"`, or `[status, Retry-After]`.

use serde_json::{Value, json};

/// How the answer to one request is sent.
pub(super) enum Delivery {
    Refuse {
        status: u16,
        retry_after: Option<u64>,
    },
    /// The stream ends half way.
    Broken(Vec<String>),
    /// The stream stops half way and stays open.
    Stalled(Vec<String>),
    /// The model waits for the release first.
    Held(Vec<String>),
    /// The model waits this many milliseconds first.
    Late(u64, Vec<String>),
    Whole(Vec<String>),
}

/// The steps of a script.
pub(super) fn steps(script: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(script)
        .into_iter()
        .next()
        .and_then(Result::ok)
        .unwrap_or_else(|| vec![json!({"say": "the script is no JSON"})])
}

/// The step after so many answers.
pub(super) fn nth(steps: &[Value], answers: usize) -> Option<&Value> {
    steps.get(answers).or(steps.last())
}

/// How a step that has failed `failed` times sends its events.
pub(super) fn delivery(step: &Value, failed: u64, events: Vec<String>) -> Delivery {
    let half = || events[..events.len() / 2].to_vec();
    if let Some(how) = failure(step, failed) {
        return match how.as_str() {
            Some("cut") => Delivery::Broken(half()),
            Some("stall") => Delivery::Stalled(half()),
            _ => {
                let status = how.as_u64().or(how[0].as_u64()).and_then(|status| u16::try_from(status).ok());
                Delivery::Refuse { status: status.unwrap_or(500), retry_after: how[1].as_u64() }
            }
        };
    }
    match step["wait"].as_u64() {
        _ if step["hold"] == true => Delivery::Held(events),
        Some(milliseconds) => Delivery::Late(milliseconds, events),
        None => Delivery::Whole(events),
    }
}

/// How a step that has failed `failed` times fails next. `None` if it answers.
fn failure(step: &Value, mut failed: u64) -> Option<&Value> {
    for pair in step["fail"].as_array()?.chunks(2) {
        let times = pair[0].as_u64()?;
        if failed < times {
            return pair.get(1);
        }
        failed -= times;
    }
    None
}
