//! One answer of the scripted model, in no protocol's own format.

use serde_json::{Map, Value, json};

use super::history::Part;
use super::prefix::Measure;
use super::protocol::Protocol;

/// The counts of an answer whose step gives none.
const USUAL_TOKENS: [i64; 2] = [11, 7];
/// The most bytes of text in one event.
const MAX_PIECE_BYTES: usize = 1024;

pub(super) struct Answer {
    /// The number of answers before it.
    pub(super) number: usize,
    pub(super) text: String,
    /// How often the text is sent.
    pub(super) repeat: usize,
    pub(super) calls: Vec<RawCall>,
    /// In the words of chat completions.
    pub(super) finish: String,
    /// `None` if the server does not count.
    pub(super) tokens: Option<Tokens>,
    /// Whether the model sends reasoning, which it wants back.
    pub(super) thinks: bool,
}

pub(super) struct RawCall {
    pub(super) name: Value,
    /// May be anything, because models make mistakes.
    pub(super) arguments: String,
}

/// What the server says about tokens.
pub(super) struct Tokens {
    pub(super) input: Value,
    pub(super) output: Value,
    /// What the input was measured to be.
    pub(super) measure: Option<Measure>,
}

impl Tokens {
    pub(super) fn usual() -> Self {
        let [input, output] = USUAL_TOKENS;
        Self { input: json!(input), output: json!(output), measure: None }
    }

    /// What a step says. `measure` is called only if the step asks for it.
    pub(super) fn of(step: &Value, measure: impl FnOnce() -> Measure) -> Option<Self> {
        match step.get("usage") {
            None => Some(Self::usual()),
            Some(Value::Null) => None,
            Some(Value::String(word)) if word == "measured" => {
                let measure = measure();
                Some(Self { input: json!(measure.input), measure: Some(measure), ..Self::usual() })
            }
            Some(tokens) => Some(Self { input: tokens[0].clone(), output: tokens[1].clone(), measure: None }),
        }
    }
}

impl Answer {
    pub(super) fn new(step: &Value, number: usize, thinks: bool, tokens: Option<Tokens>) -> Self {
        let call = |call: &Value| RawCall {
            name: call[0].clone(),
            arguments: call[1].as_str().unwrap_or_default().to_owned(),
        };
        let calls: Vec<_> = step["call"].as_array().into_iter().flatten().map(call).collect();
        let usual = if calls.is_empty() { "stop" } else { "tool_calls" };
        Self {
            number,
            text: step["say"].as_str().unwrap_or_default().to_owned(),
            repeat: step["repeat"].as_u64().and_then(|times| usize::try_from(times).ok()).unwrap_or(1),
            finish: step["finish"].as_str().unwrap_or(usual).to_owned(),
            calls,
            tokens,
            thinks,
        }
    }

    /// The parts of the answer in their order, as a later request must hold them. Reasoning stands before the
    /// answer, and in some protocols also between its text and its calls.
    pub(super) fn parts(&self, protocol: Protocol) -> Vec<Part> {
        let mut parts = Vec::new();
        let text = self.text.repeat(self.repeat);
        let speaks = !text.trim().is_empty();
        if speaks {
            parts.push(Part::Text(text));
        }
        for (index, call) in self.calls.iter().enumerate() {
            let arguments = serde_json::from_str::<Map<String, Value>>(&call.arguments).unwrap_or_default();
            parts.push(Part::Call {
                id: protocol.call_id(self.number, index),
                name: call.name.as_str().unwrap_or_default().to_owned(),
                arguments: Value::Object(arguments),
            });
        }
        if self.thinks && !parts.is_empty() {
            if speaks && !self.calls.is_empty() && protocol != Protocol::Chat {
                parts.insert(1, Part::Thought(protocol.thought(self.number, 1)));
            }
            parts.insert(0, Part::Thought(protocol.thought(self.number, 0)));
        }
        parts
    }
}

/// The text in two halves.
pub(super) fn halves(text: &str) -> [&str; 2] {
    let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
    [first, second]
}

/// The text in small pieces, two or more if it has two characters.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let size = (text.len() / 2).clamp(1, MAX_PIECE_BYTES);
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.ceil_char_boundary(size));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
