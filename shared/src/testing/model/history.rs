//! The conversation in a request, whatever its protocol, and what is wrong with it.

use serde_json::Value;

use super::answer::Answer;
use super::protocol::Protocol;
use super::{ScriptedModel, script};

#[derive(Debug)]
pub(super) enum Turn {
    System,
    User(String),
    Answer(Vec<Part>),
    /// The id of the call that it is the result of.
    Result(String),
    /// What no server of the protocol takes.
    Odd(String),
}

/// One part of an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// Reasoning in the protocol's own form.
    Thought(Value),
    Text(String),
    Call {
        id: String,
        name: String,
        arguments: Value,
    },
}

pub(super) struct Conversation {
    pub(super) protocol: Protocol,
    pub(super) model: String,
    turns: Vec<Turn>,
}

impl Conversation {
    pub(super) fn read(protocol: Protocol, body: &Value) -> Self {
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        Self { protocol, model, turns: protocol.turns(body) }
    }

    /// The first user message.
    pub(super) fn prompt(&self) -> &str {
        let first = self.turns.iter().find_map(|turn| match turn {
            Turn::User(text) => Some(text.as_str()),
            _ => None,
        });
        first.unwrap_or_default()
    }

    pub(super) fn answers(&self) -> usize {
        self.turns.iter().filter(|turn| matches!(turn, Turn::Answer(_))).count()
    }

    /// Whether the model sends reasoning and wants the whole history back unchanged.
    pub(super) fn thinks(&self) -> bool {
        ScriptedModel::THINKING.contains(&self.model.as_str())
    }

    /// Why the conversation is not one of this model with these steps: a changed answer, reasoning that is
    /// lost, calls and results that do not belong together.
    pub(super) fn fault(&self, steps: &[Value]) -> Option<String> {
        let mut open: Vec<&str> = Vec::new();
        let mut answers = 0;
        for turn in &self.turns {
            match turn {
                Turn::Result(id) => {
                    let Some(at) = open.iter().position(|open| *open == id.as_str()) else {
                        return Some(format!("{id:?} is the result of no call"));
                    };
                    open.remove(at);
                }
                _ if !open.is_empty() => return Some(format!("the calls {open:?} have no results")),
                Turn::Odd(what) => return Some(what.clone()),
                Turn::Answer(parts) => {
                    let step = script::nth(steps, answers).unwrap_or(&Value::Null);
                    let given = Answer::new(step, answers, self.thinks(), None).parts(self.protocol);
                    if *parts != given {
                        return Some(format!("answer {answers} was {given:?} and comes back as {parts:?}"));
                    }
                    open.extend(parts.iter().filter_map(|part| match part {
                        Part::Call { id, .. } => Some(id.as_str()),
                        _ => None,
                    }));
                    answers += 1;
                }
                Turn::System | Turn::User(_) => {}
            }
        }
        let asked = open.is_empty() && matches!(self.turns.last(), Some(Turn::User(_) | Turn::Result(_)));
        (!asked).then(|| "the model is not asked anything".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(messages: &Value) -> Option<String> {
        let steps = [json!({"say": "Wait.", "call": [["f", "{\"a\": 1}"]]}), json!({"say": "Done."})];
        let body = json!({"model": "scripted-anthropic", "messages": messages});
        Conversation::read(Protocol::Anthropic, &body).fault(&steps)
    }

    #[test]
    fn a_changed_history_is_refused() {
        let thought = |place: usize| Protocol::Anthropic.thought(0, place);
        let text = json!({"type": "text", "text": "Wait."});
        let call = json!({"type": "tool_use", "id": "toolu_0_0", "name": "f", "input": {"a": 1}});
        let result = json!({"type": "tool_result", "tool_use_id": "toolu_0_0", "content": "1"});
        let user = |blocks: Value| json!({"role": "user", "content": blocks});
        let asked = || user(json!([{"type": "text", "text": "Go."}]));
        let with = |blocks: &[&Value], after: &[&Value]| {
            fault(&json!([asked(), {"role": "assistant", "content": blocks}, user(json!(after))]))
        };
        let (first, second) = (thought(0), thought(1));
        assert_eq!(with(&[&first, &text, &second, &call], &[&result]), None);
        assert_eq!(fault(&json!([asked()])), None);
        let changed = json!({"type": "thinking", "thinking": "Hm.", "signature": "signed-0-0"});
        let bad: [(&[&Value], &[&Value]); 6] = [
            (&[&text, &second, &call], &[&result]),
            (&[&changed, &text, &second, &call], &[&result]),
            (&[&first, &second, &text, &call], &[&result]),
            (&[&first, &text, &second, &call], &[&text]),
            (&[&first, &text, &second, &call], &[&result, &result]),
            (&[&first, &text, &second], &[&text]),
        ];
        for (blocks, after) in bad {
            assert!(with(blocks, after).is_some(), "{blocks:?} {after:?}");
        }
        assert!(fault(&json!([asked(), asked()])).is_some());
    }
}
