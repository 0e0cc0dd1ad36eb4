//! Makes a conversation safe to send. Pure. A server may refuse what its own model wrote: names with
//! forbidden characters, arguments that are no JSON object, blank texts, calls without a result.

use serde_json::{Map, Value};

use super::{Call, Message};

/// The longest name that all servers take.
const MAX_NAME_BYTES: usize = 64;
const NO_RESULT: &str = "[no result was recorded]";
const EMPTY_RESULT: &str = "[no output]";
/// Some servers refuse an empty text.
const EMPTY_TEXT: &str = "[empty]";

/// The conversation in a form that every server takes. Names of tools match `^[a-zA-Z0-9_-]{1,64}$`.
/// Arguments are JSON objects. No text is blank. Exactly one result follows each call.
#[must_use]
pub fn replay(messages: &[Message]) -> Vec<Message> {
    let mut sent = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        match message {
            Message::System(text) if text.trim().is_empty() => {}
            Message::System(_) => sent.push(message.clone()),
            Message::User { text, pictures } => {
                let text = if text.trim().is_empty() && pictures.is_empty() { EMPTY_TEXT } else { text };
                sent.push(Message::User { text: text.to_owned(), pictures: pictures.clone() });
            }
            Message::Assistant { text, reasoning, calls } => {
                let blank = text.trim().is_empty();
                if blank && calls.is_empty() {
                    continue;
                }
                sent.push(Message::Assistant {
                    text: if blank { String::new() } else { text.clone() },
                    reasoning: reasoning.clone(),
                    calls: calls.iter().map(safe_call).collect(),
                });
                sent.extend(calls.iter().map(|call| result_of(call, &messages[at + 1..])));
            }
            // The results were added after their calls.
            Message::Tool { .. } => {}
        }
    }
    sent
}

/// The result of a call of the last answer, from the messages after it.
fn result_of(call: &Call, after: &[Message]) -> Message {
    let this_step = after.iter().take_while(|message| !matches!(message, Message::Assistant { .. }));
    let content = this_step.into_iter().find_map(|message| match message {
        Message::Tool { call: id, content } if *id == call.id => Some(content.as_str()),
        _ => None,
    });
    let content = match content {
        None => NO_RESULT,
        Some(content) if content.trim().is_empty() => EMPTY_RESULT,
        Some(content) => content,
    };
    Message::Tool { call: call.id.clone(), content: content.to_owned() }
}

fn safe_call(call: &Call) -> Call {
    let is_object = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
    Call {
        id: call.id.clone(),
        name: safe_name(&call.name),
        // The result of the call says what was wrong with its arguments.
        arguments: if is_object { call.arguments.clone() } else { "{}".to_owned() },
        extra: call.extra.clone(),
    }
}

fn safe_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = name.chars().take(MAX_NAME_BYTES).map(safe).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, name: &str, arguments: &str) -> Call {
        Call { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned(), extra: None }
    }

    fn said(text: &str, calls: Vec<Call>) -> Message {
        Message::Assistant { text: text.to_owned(), reasoning: None, calls }
    }

    fn result(call: &str, content: &str) -> Message {
        Message::Tool { call: call.to_owned(), content: content.to_owned() }
    }

    #[test]
    fn what_a_server_may_refuse_is_not_sent() {
        let conversation = [
            Message::System(" ".to_owned()),
            Message::user(String::new()),
            said(
                " \n",
                vec![call("a", "shell<x>é", ""), call("b", "", "[1]"), call("c", "ok", r#"{"n": 1}"#)],
            ),
            result("b", ""),
            result("zzz", "of no call"),
            Message::user("note".to_owned()),
            result("a", "A"),
            said("", vec![]),
            said("done", vec![]),
        ];
        let expected = [
            Message::user(EMPTY_TEXT.to_owned()),
            said(
                "",
                vec![
                    call("a", "shell_x__", "{}"),
                    call("b", "unnamed", "{}"),
                    call("c", "ok", r#"{"n": 1}"#),
                ],
            ),
            result("a", "A"),
            result("b", EMPTY_RESULT),
            result("c", NO_RESULT),
            Message::user("note".to_owned()),
            said("done", vec![]),
        ];
        assert_eq!(replay(&conversation), expected);
        assert_eq!(replay(&expected), expected, "a safe conversation stays as it is");
        assert_eq!(safe_name(&"é".repeat(99)).len(), MAX_NAME_BYTES);
    }
}
