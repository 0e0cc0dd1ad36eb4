//! Probes of tool calls: one, two at once, and one without arguments whose result the server reads.

use serde_json::{Map, Value, json};
use shared::text::CleanText;

use super::basics::{is_empty, why_empty};
use super::report::Finding;
use super::{Asker, question};
use crate::text_calls::{Written, find};
use crate::{Answer, Call, MAX_ANSWER_BYTES, Message, ModelError, Offered};

/// After so many requests without a call, the model counts as one that calls no tools.
const TRIES: usize = 2;
pub(super) const ONE: &str = "What is the weather in Paris? Call the tool get_weather.";
pub(super) const TWO: &str =
    "Compare the weather in Rome and in Oslo. Call the tool get_weather for both cities at once.";
pub(super) const TIME: &str = "What time is it? Call the tool current_time.";
const NOW: &str = "2030-01-01T12:30:00Z";
/// A call without an id gets this one. Mistral takes only nine letters and digits.
const SOME_ID: &str = "capicall1";
pub(super) const NO_TOOLS: &str = "tools = false";
pub(super) const NO_CALLS: &str = "the model called no tool before";

/// The parameters of the tool `get_weather`.
pub(super) fn city() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

pub(super) fn weather(parameters: &Value) -> [Offered<'_>; 1] {
    [Offered { name: "get_weather", description: "Returns the weather in a city.", parameters }]
}

/// Moves calls that the model wrote into its text to the answer's calls.
pub(super) fn with_written_calls(mut answer: Answer, tools: &[Offered<'_>]) -> Answer {
    if answer.calls.is_empty()
        && let Written::Calls { calls, text, .. } = find(&answer.text, tools)
    {
        answer.calls = calls;
        answer.text = CleanText::new(&text, MAX_ANSWER_BYTES);
    }
    answer
}

/// The city of a correct call.
fn called_city(call: &Call) -> Option<String> {
    let arguments: Map<String, Value> = serde_json::from_str(&call.arguments).ok()?;
    let city = arguments.get("city")?.as_str()?;
    (call.name == "get_weather").then(|| city.to_lowercase())
}

pub(super) async fn call(asker: &Asker<'_>) -> Result<Finding, ModelError> {
    if !asker.file.tools {
        return Ok(Finding::not_tried(NO_TOOLS));
    }
    let parameters = city();
    let tools = weather(&parameters);
    for _ in 0..TRIES {
        let answer = match asker.ask(&question(ONE), &tools, None).await {
            // Ollama: `qwen:0.5b does not support tools`.
            // vLLM without its parser: the server can be set up.
            Err(ModelError::Rejected(text)) if text.contains("--tool-call-parser") => {
                return Ok(Finding::from(ModelError::Rejected(text)));
            }
            Err(ModelError::Rejected(text)) if text.to_lowercase().contains("tool") => {
                let finding = Finding::from(ModelError::Rejected(text));
                return Ok(finding.with(Some(NO_TOOLS.to_owned())));
            }
            answer => answer?,
        };
        if answer.calls.is_empty() && find(&answer.text, &tools) == Written::Unreadable {
            let why =
                "the model wrote the call as text that capi does not read; set up the server's tool parser";
            return Ok(Finding::unable(why));
        }
        let is_written = answer.calls.is_empty();
        let answer = with_written_calls(answer, &tools);
        match answer.calls.first() {
            None => {}
            Some(call) if called_city(call).is_none() => {
                return Ok(Finding::unable("the call lacks the name or the arguments of the tool"));
            }
            Some(_) if is_written => {
                return Ok(Finding::works("works, as text that capi reads; the server leaves it there"));
            }
            Some(_) => return Ok(Finding::works("works")),
        }
    }
    let finding = Finding::unable(format!("the model called no tool in {TRIES} requests"));
    Ok(finding.with(Some(NO_TOOLS.to_owned())))
}

pub(super) async fn two_calls(asker: &Asker<'_>, calls_tools: bool) -> Result<Finding, ModelError> {
    if !asker.file.tools {
        return Ok(Finding::not_tried(NO_TOOLS));
    }
    if !calls_tools {
        return Ok(Finding::not_tried(NO_CALLS));
    }
    if asker.file.parallel_tool_calls == Some(false) {
        return Ok(Finding::not_tried("parallel_tool_calls = false"));
    }
    let parameters = city();
    let tools = weather(&parameters);
    let answer = with_written_calls(asker.ask(&question(TWO), &tools, None).await?, &tools);
    let mut cities: Vec<_> = answer.calls.iter().map(called_city).collect();
    cities.sort();
    cities.dedup();
    Ok(match answer.calls.len() {
        0 => Finding::unable("the model called no tool"),
        1 => Finding::unable("the model makes one call at a time, which is enough"),
        calls if cities.len() < calls || cities.contains(&None) => {
            Finding::unable("the calls are mixed up").with(Some("parallel_tool_calls = false".to_owned()))
        }
        _ => Finding::works("works"),
    })
}

pub(super) async fn without_arguments(asker: &Asker<'_>, calls_tools: bool) -> Result<Finding, ModelError> {
    if !asker.file.tools {
        return Ok(Finding::not_tried(NO_TOOLS));
    }
    if !calls_tools {
        return Ok(Finding::not_tried(NO_CALLS));
    }
    let parameters = json!({"type": "object", "properties": {}});
    let tools =
        [Offered { name: "current_time", description: "Returns the time now.", parameters: &parameters }];
    let mut messages = question(TIME);
    let answer = with_written_calls(asker.ask(&messages, &tools, None).await?, &tools);
    if answer.calls.is_empty() {
        return Ok(Finding::unable("the model called no tool"));
    }
    messages.extend(with_result(answer, NOW));
    let last = asker.ask(&messages, &tools, None).await?;
    Ok(if is_empty(&last) && last.calls.is_empty() {
        Finding::unable(format!("the server reads the result, but {}", why_empty(&last)))
    } else {
        Finding::works("works, and the server reads its result")
    })
}

/// The first call of an answer, and its result.
pub(super) fn with_result(answer: Answer, result: &str) -> Vec<Message> {
    let mut calls: Vec<_> = answer.calls.into_iter().take(1).collect();
    for call in calls.iter_mut().filter(|call| call.id.is_empty()) {
        SOME_ID.clone_into(&mut call.id);
    }
    let results: Vec<_> = calls
        .iter()
        .map(|call| Message::Tool { call: call.id.clone(), content: result.to_owned() })
        .collect();
    let said = Message::Assistant { text: answer.text.into_string(), reasoning: answer.reasoning, calls };
    std::iter::once(said).chain(results).collect()
}
