//! What servers that check each request complain about. All requests of all cases are checked, so no answer
//! of an odd server may make the client send something that a strict one refuses.

mod anthropic;
mod chat;
mod responses;

use serde_json::Value;

use super::case::KEY;
use super::server::Request;

/// The bytes of an id that the strictest servers take.
const MAX_ID_BYTES: usize = 256;

pub(super) fn check(request: &Request) -> Result<(), String> {
    let body = &request.body;
    let nothing = body.as_object().into_iter().flatten().find(|(_, value)| value.is_null());
    ensure(body.is_object(), "the body is not a JSON object")?;
    ensure(nothing.is_none(), &format!("{nothing:?} is sent"))?;
    ensure(body["model"] == "the-model", "another model is named")?;
    let chosen = body.get("tool_choice").is_some();
    ensure(!chosen || body.get("tools").is_some(), "tool_choice is sent without tools")?;
    let bearer = format!("Bearer {KEY}");
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    match request.path.as_str() {
        "/v1/chat/completions" => {
            ensure(header("authorization") == Some(bearer.as_str()), "the key is missing")?;
            chat::check(body)
        }
        "/v1/responses" => {
            ensure(header("authorization") == Some(bearer.as_str()), "the key is missing")?;
            responses::check(body)
        }
        "/v1/messages" => {
            ensure(header("x-api-key") == Some(KEY), "the key is missing")?;
            ensure(header("anthropic-version").is_some(), "anthropic-version is missing")?;
            anthropic::check(body)
        }
        other => Err(format!("{other} is no path of this server")),
    }
}

fn ensure(right: bool, complaint: &str) -> Result<(), String> {
    if right { Ok(()) } else { Err(complaint.to_owned()) }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether it is a text with something in it, or parts of which each has something in it.
fn says_something(content: &Value) -> bool {
    match content {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(parts) => {
            let blank = |part: &Value| part["text"].as_str().is_some_and(|text| text.trim().is_empty());
            !parts.is_empty() && !parts.iter().any(blank)
        }
        _ => false,
    }
}

fn is_safe_name(name: &Value) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    name.as_str().is_some_and(|name| (1..=64).contains(&name.len()) && name.bytes().all(allowed))
}

fn is_id(id: &Value) -> bool {
    id.as_str().is_some_and(|id| (1..=MAX_ID_BYTES).contains(&id.len()))
}

/// Whether it is a text that holds a JSON object.
fn holds_object(arguments: &Value) -> bool {
    let object = arguments.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    object.is_some_and(|object| object.is_object())
}

/// Tools are sorted, so that the prefix stays the same, and their schemas have properties.
fn check_tools<'t>(
    tools: &'t [Value],
    of: impl Fn(&'t Value) -> (&'t Value, &'t Value),
) -> Result<(), String> {
    let names: Vec<_> = tools.iter().filter_map(|tool| of(tool).0.as_str()).collect();
    ensure(names.is_sorted(), "the tools are not sorted")?;
    for tool in tools {
        let (name, parameters) = of(tool);
        ensure(is_safe_name(name), &format!("the name of the tool {name} is not safe"))?;
        let properties = parameters["properties"].as_object();
        let right = parameters["type"] == "object" && properties.is_none_or(|members| !members.is_empty());
        ensure(right, &format!("the parameters of {name} are no object with properties: {parameters}"))?;
    }
    Ok(())
}
