//! Scripts of the scripted model, `SCRIPT [step, …]` in a prompt. The number of answers in the conversation
//! selects the step; after the last step it is repeated. A step is an object with these members:
//! - `say` (text) and `call` (`[[tool, raw arguments], …]`) are the answer, and `repeat` says how often its
//!   text is sent.
//! - `finish` is its finish reason, by default `stop` or `tool_calls`.
//! - `usage` is `[input, output]` in tokens; null sends no usage.
//! - `raw` is sent unchanged instead of all these.
//! - `hold` waits for the release before the answer; `wait` waits this many milliseconds.
//! - `fail: [times, how, …]` fails so many times in this way, then in the next ones, before the answer.
//!   `how` is a status, `"cut"`, `"stall"`, or `[status, Retry-After]`.

use serde_json::{Value, json};

/// The answer to one request.
pub(super) enum Step {
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

/// The step of a script after `answers` answers; it has failed `failed` times.
pub(super) fn step(script: &str, answers: usize, failed: u64) -> Step {
    let steps: Vec<Value> = serde_json::Deserializer::from_str(script)
        .into_iter()
        .next()
        .and_then(Result::ok)
        .unwrap_or_else(|| vec![json!({"say": "the script is no JSON"})]);
    let Some(step) = steps.get(answers).or(steps.last()) else { return Step::Whole(vec![]) };
    let parts = parts(step);
    let half = || parts[..parts.len() / 2].to_vec();
    if let Some(how) = failure(step, failed) {
        return match how.as_str() {
            Some("cut") => Step::Broken(half()),
            Some("stall") => Step::Stalled(half()),
            _ => {
                let status = how.as_u64().or(how[0].as_u64()).and_then(|status| u16::try_from(status).ok());
                Step::Refuse { status: status.unwrap_or(500), retry_after: how[1].as_u64() }
            }
        };
    }
    match step["wait"].as_u64() {
        _ if step["hold"] == true => Step::Held(parts),
        Some(milliseconds) => Step::Late(milliseconds, parts),
        None => Step::Whole(parts),
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

fn parts(step: &Value) -> Vec<String> {
    if let Some(raw) = step["raw"].as_str() {
        return vec![raw.to_owned()];
    }
    let delta = |delta: Value| event(&json!({"choices": [{"index": 0, "delta": delta}]}));
    let mut parts = vec![": a comment\n\n".to_owned()];
    let text = step["say"].as_str().unwrap_or_default();
    let half = text.floor_char_boundary(text.len() / 2);
    for _ in 0..step["repeat"].as_u64().unwrap_or(1) {
        parts.extend([&text[..half], &text[half..]].map(|part| delta(json!({"content": part}))));
    }
    let calls = step["call"].as_array().cloned().unwrap_or_default();
    for (index, call) in calls.iter().enumerate() {
        let (name, arguments) = (&call[0], call[1].as_str().unwrap_or_default());
        let half = arguments.floor_char_boundary(arguments.len() / 2);
        let begin = json!({
            "index": index, "id": format!("call_{index}"), "type": "function",
            "function": {"name": name, "arguments": &arguments[..half]},
        });
        let end = json!({"index": index, "function": {"arguments": &arguments[half..]}});
        parts.extend([begin, end].map(|piece| delta(json!({"tool_calls": [piece]}))));
    }
    let reason = step["finish"].as_str().unwrap_or(if calls.is_empty() { "stop" } else { "tool_calls" });
    parts.push(event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})));
    match step.get("usage") {
        Some(Value::Null) => {}
        usage => {
            let tokens = usage.cloned().unwrap_or_else(|| json!([11, 7]));
            let usage = json!({"prompt_tokens": tokens[0], "completion_tokens": tokens[1]});
            parts.push(event(&json!({"choices": [], "usage": usage})));
        }
    }
    parts.push("data: [DONE]\n\n".to_owned());
    parts
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}
