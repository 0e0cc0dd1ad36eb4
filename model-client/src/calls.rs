//! Assembles tool calls from their pieces. Pure. The index of a piece says which call it belongs to. Some
//! servers send no index, or 0 for all calls. Then the id decides, or the name, or the position.

use serde_json::{Map, Value};
use shared::text::{CleanText, check_json};

use super::{Call, MAX_ANSWER_BYTES};

/// The most calls of one answer.
pub(super) const MAX_CALLS: usize = 128;
/// A longer id is dropped. The agent then gives the call a new id.
const MAX_ID_BYTES: usize = 256;
/// Names are cut to this many bytes. No tool has a longer name.
const MAX_NAME_BYTES: usize = 256;

/// One piece of a call, as a provider reads it.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) index: Option<i64>,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    /// A piece of the JSON text, or the object itself.
    pub(crate) arguments: Option<Value>,
    /// The arguments are complete: they replace what came before.
    pub(crate) whole: bool,
    /// Fields that capi does not know.
    pub(crate) extra: Map<String, Value>,
}

/// The parts of the calls that have arrived.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Part>);

#[derive(Debug, Default)]
struct Part {
    index: Option<i64>,
    id: String,
    name: String,
    arguments: String,
    extra: Map<String, Value>,
}

/// The answer has more than [`MAX_CALLS`] calls.
#[derive(Debug)]
pub(super) struct TooMany;

impl Calls {
    /// Adds one piece and returns the number of its bytes.
    pub(super) fn add(&mut self, piece: Piece) -> Result<usize, TooMany> {
        let id = piece.id.filter(|id| id.len() <= MAX_ID_BYTES).unwrap_or_default();
        let mut name = piece.name.unwrap_or_default();
        name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
        let (arguments, whole) = match piece.arguments {
            None | Some(Value::Null) => (String::new(), false),
            Some(Value::String(text)) => (text, piece.whole),
            Some(other) => (other.to_string(), true),
        };
        let at = self.position(piece.index, &id, &name, &arguments);
        if at == self.0.len() {
            if at == MAX_CALLS {
                return Err(TooMany);
            }
            self.0.push(Part { index: piece.index, ..Part::default() });
        }
        let part = &mut self.0[at];
        if part.id.is_empty() {
            part.id = id;
        }
        if part.name.is_empty() {
            part.name = name;
        }
        // Some servers send `{}` first, and the arguments in the next piece.
        let is_replaced = begins_object(&arguments) && part.arguments.trim() == "{}";
        if whole || is_replaced {
            part.arguments.clear();
        }
        part.arguments.push_str(&arguments);
        let mut bytes = arguments.len();
        for (key, value) in piece.extra {
            if !value.is_null() && check_json(&value).is_ok() {
                bytes += key.len() + value.to_string().len();
                part.extra.insert(key, value);
            }
        }
        Ok(bytes)
    }

    /// The position of the piece's call. A new call comes after all others.
    fn position(&self, index: Option<i64>, id: &str, name: &str, arguments: &str) -> usize {
        let new = self.0.len();
        // Some servers give each piece an id of its own, so only a piece with a name can begin a call.
        let same_call = |part: &Part| {
            let other_id = !id.is_empty() && !part.id.is_empty() && part.id != id;
            let same_id = !id.is_empty() && part.id == id;
            // Two whole calls of one tool may share an index and have no ids.
            let another = || !same_id && begins_object(arguments) && is_object(&part.arguments);
            name.is_empty() || part.name.is_empty() || (part.name == name && !other_id && !another())
        };
        match index {
            Some(_) => self.0.iter().rposition(|part| part.index == index && same_call(part)).unwrap_or(new),
            None if !id.is_empty() => self.0.iter().position(|part| part.id == id).unwrap_or(new),
            None if !name.is_empty() => new,
            None => new.saturating_sub(1),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().filter(|part| part.is_call()).count()
    }

    pub(super) fn finish(self) -> Vec<Call> {
        self.0.into_iter().filter(Part::is_call).map(Part::finish).collect()
    }
}

impl Part {
    /// Some servers send an empty call beside an answer.
    fn is_call(&self) -> bool {
        !self.name.trim().is_empty() || !self.arguments.trim().is_empty()
    }

    fn finish(self) -> Call {
        let clean = |text: &str, most| CleanText::new(text, most).into_string();
        Call {
            id: clean(&self.id, MAX_ID_BYTES),
            name: clean(tool_name(&self.name), MAX_NAME_BYTES),
            arguments: clean(&repaired(self.arguments), MAX_ANSWER_BYTES),
            extra: (!self.extra.is_empty()).then_some(self.extra),
        }
    }
}

/// The name without the parts that some servers leave in it: `shell<|channel|>commentary`, `functions.shell`.
fn tool_name(name: &str) -> &str {
    let name = name.split("<|").next().unwrap_or_default().trim();
    name.strip_prefix("functions.").unwrap_or(name)
}

fn begins_object(arguments: &str) -> bool {
    arguments.trim_start().starts_with('{')
}

fn is_object(arguments: &str) -> bool {
    arguments.trim_end().ends_with('}') && serde_json::from_str::<Map<String, Value>>(arguments).is_ok()
}

/// Repairs arguments that are encoded twice or sent twice. Other arguments stay unchanged.
fn repaired(arguments: String) -> String {
    if is_object(&arguments) {
        return arguments;
    }
    if let Ok(inner) = serde_json::from_str::<String>(&arguments)
        && is_object(&inner)
    {
        return inner;
    }
    let objects = serde_json::Deserializer::from_str(&arguments).into_iter::<Map<String, Value>>();
    let Ok(objects) = objects.collect::<Result<Vec<_>, _>>() else { return arguments };
    match &objects[..] {
        [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|next| next == first) => {
            Value::Object(first.clone()).to_string()
        }
        _ => arguments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn calls(pieces: &Value) -> String {
        let mut calls = Calls::default();
        for piece in pieces.as_array().unwrap() {
            let owned = |value: &Value| value.as_str().map(str::to_owned);
            calls
                .add(Piece {
                    index: piece["index"].as_i64(),
                    id: owned(&piece["id"]),
                    name: owned(&piece["name"]),
                    arguments: piece.get("arguments").cloned(),
                    whole: piece["whole"] == true,
                    extra: Map::new(),
                })
                .unwrap();
        }
        let shown =
            calls.finish().into_iter().map(|call| format!("{} {}{}", call.id, call.name, call.arguments));
        shown.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn pieces_are_added_to_their_calls_however_a_server_numbers_them() {
        let by_index = json!([
            {"index": 0, "id": "a", "name": "x", "arguments": ""},
            {"index": 1, "id": "b", "name": "y", "arguments": "{"},
            {"index": 0, "arguments": "{}"}, {"index": 1, "arguments": "}"},
        ]);
        let all_zero = json!([
            {"index": 0, "id": "a", "name": "x", "arguments": "{"}, {"index": 0, "arguments": "}"},
            {"index": 0, "id": "b", "name": "y", "arguments": "{}"},
        ]);
        let by_id = json!([
            {"id": "a", "name": "x", "arguments": "{"}, {"id": "b", "name": "y", "arguments": "{}"},
            {"id": "a", "arguments": "}"},
        ]);
        let changing = json!([
            {"index": 0, "id": "a", "name": "x", "arguments": "{"}, {"index": 0, "id": "z", "arguments": "}"},
            {"index": 1, "id": "b", "name": "y", "arguments": "{}"},
        ]);
        let by_position = json!([
            {"id": "a", "name": "x", "arguments": "{"}, {"arguments": "}"},
            {"id": "b", "name": "y", "arguments": "{}"},
        ]);
        for pieces in [by_index, all_zero, by_id, changing, by_position] {
            assert_eq!(calls(&pieces), "a x{} | b y{}", "{pieces}");
        }
        let repeated = json!([
            {"index": 0, "id": "a", "name": "x", "arguments": "{"},
            {"index": 0, "id": "a", "name": "x", "arguments": "}"},
        ]);
        assert_eq!(calls(&repeated), "a x{}");
        assert_eq!(
            calls(&json!([{"name": "x", "arguments": "1"}, {"name": "x", "arguments": "2"}])),
            " x1 |  x2"
        );
        assert_eq!(calls(&json!([{"name": "x", "arguments": {"a": 1}}, {}])), " x{\"a\":1}");
    }

    #[test]
    fn whole_calls_with_one_index_and_arguments_sent_twice_are_understood() {
        let two = json!([
            {"index": 0, "id": "", "name": "x", "arguments": "{\"a\":1}"},
            {"index": 0, "id": "", "name": "x", "arguments": "{\"a\":2}"},
        ]);
        assert_eq!(calls(&two), " x{\"a\":1} |  x{\"a\":2}");
        let late = json!([
            {"index": 0, "id": "a", "name": "x", "arguments": "{}"},
            {"index": 0, "arguments": "{\"a\""}, {"index": 0, "arguments": ":1}"},
        ]);
        assert_eq!(calls(&late), "a x{\"a\":1}");
        let whole = json!([
            {"index": 0, "id": "a", "name": "x", "arguments": "{\"a\""},
            {"index": 0, "id": "a", "name": "x", "arguments": "{\"a\":1}", "whole": true},
        ]);
        assert_eq!(calls(&whole), "a x{\"a\":1}");
        let again = json!([{"index": 0, "name": "x", "arguments": "{\"a\":1}"}, {"arguments": "{\"a\":1}"}]);
        assert_eq!(calls(&again), " x{\"a\":1}");
        let encoded = json!([{"name": "functions.x<|channel|>commentary", "arguments": "\"{\\\"a\\\":1}\""}]);
        assert_eq!(calls(&encoded), " x{\"a\":1}");
    }

    #[test]
    fn calls_and_ids_are_bounded() {
        let mut calls = Calls::default();
        let piece = |index| Piece { index: Some(index), id: Some("x".repeat(1 << 20)), ..Piece::default() };
        let added = (0..1000).take_while(|index| calls.add(piece(*index)).is_ok()).count();
        assert_eq!(added, MAX_CALLS);
        assert!(calls.is_empty() && calls.finish().is_empty());
        let mut calls = Calls::default();
        calls.add(Piece { name: Some("x".to_owned()), ..piece(0) }).unwrap();
        assert!(calls.finish()[0].id.is_empty());
    }
}
