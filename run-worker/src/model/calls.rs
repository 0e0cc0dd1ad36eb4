//! Assembles tool calls from their pieces: pure. The index of a piece says which call it belongs to. Some
//! servers send no index, or 0 for all calls; then the id decides, or the position.

use shared::text::CleanText;

use super::wire::CallDelta;
use super::{Call, MAX_ANSWER_BYTES};

/// The most calls of one answer.
const MAX_CALLS: usize = 128;
/// Ids and names are cut to this many bytes. No tool has a longer name.
const MAX_NAME_BYTES: usize = 256;

/// The parts of the calls that have arrived.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Piece>);

#[derive(Debug, Default)]
struct Piece {
    index: Option<i64>,
    id: String,
    name: String,
    arguments: String,
}

/// The answer has more than [`MAX_CALLS`] calls.
#[derive(Debug)]
pub(super) struct TooMany;

impl Calls {
    /// Adds one piece and returns the number of its bytes.
    pub(super) fn add(&mut self, delta: CallDelta) -> Result<usize, TooMany> {
        let function = delta.function.unwrap_or_default();
        let bounded = |text: Option<String>| {
            let mut text = text.unwrap_or_default();
            text.truncate(text.floor_char_boundary(MAX_NAME_BYTES));
            text
        };
        let (id, name) = (bounded(delta.id), bounded(function.name));
        let arguments = match function.arguments {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        let at = self.position(delta.index, &id, &name);
        if at == self.0.len() {
            if at == MAX_CALLS {
                return Err(TooMany);
            }
            self.0.push(Piece { index: delta.index, ..Piece::default() });
        }
        let piece = &mut self.0[at];
        if piece.id.is_empty() {
            piece.id = id;
        }
        if piece.name.is_empty() {
            piece.name = name;
        }
        piece.arguments.push_str(&arguments);
        Ok(arguments.len())
    }

    /// The position of the piece's call. A new call comes after all others.
    fn position(&self, index: Option<i64>, id: &str, name: &str) -> usize {
        let new = self.0.len();
        // Some servers give each piece an id of its own, so only a piece with a name can begin a call.
        let same_call = |piece: &Piece| {
            let other_id = !id.is_empty() && !piece.id.is_empty() && piece.id != id;
            name.is_empty() || piece.name.is_empty() || (piece.name == name && !other_id)
        };
        match index {
            Some(_) => {
                self.0.iter().rposition(|piece| piece.index == index && same_call(piece)).unwrap_or(new)
            }
            None if !id.is_empty() => self.0.iter().position(|piece| piece.id == id).unwrap_or(new),
            None if !name.is_empty() => new,
            None => new.saturating_sub(1),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn finish(self) -> Vec<Call> {
        let clean = |text: &str, most| CleanText::new(text, most).into_string();
        self.0
            .into_iter()
            .map(|piece| Call {
                id: clean(&piece.id, MAX_NAME_BYTES),
                name: clean(piece.name.trim(), MAX_NAME_BYTES),
                arguments: clean(&piece.arguments, MAX_ANSWER_BYTES),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn calls(deltas: Value) -> String {
        let mut calls = Calls::default();
        for delta in serde_json::from_value::<Vec<CallDelta>>(deltas).unwrap() {
            calls.add(delta).unwrap();
        }
        let shown =
            calls.finish().into_iter().map(|call| format!("{} {}{}", call.id, call.name, call.arguments));
        shown.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn pieces_are_added_to_their_calls_however_a_server_numbers_them() {
        let f = |name: Option<&str>, arguments: &str| json!({"name": name, "arguments": arguments});
        let by_index = json!([
            {"index": 0, "id": "a", "function": f(Some("x"), "")},
            {"index": 1, "id": "b", "function": f(Some("y"), "{")},
            {"index": 0, "function": f(None, "{}")}, {"index": 1, "function": f(None, "}")},
        ]);
        let all_zero = json!([
            {"index": 0, "id": "a", "function": f(Some("x"), "{")}, {"index": 0, "function": f(None, "}")},
            {"index": 0, "id": "b", "function": f(Some("y"), "{}")},
        ]);
        let by_id = json!([
            {"id": "a", "function": f(Some("x"), "{")}, {"id": "b", "function": f(Some("y"), "{}")},
            {"id": "a", "function": f(None, "}")},
        ]);
        let changing = json!([
            {"index": 0, "id": "a", "function": f(Some("x"), "{")},
            {"index": 0, "id": "z", "function": f(None, "}")},
            {"index": 1, "id": "b", "function": f(Some("y"), "{}")},
        ]);
        let by_position = json!([
            {"id": "a", "function": f(Some("x"), "{")}, {"function": f(None, "}")},
            {"id": "b", "function": f(Some("y"), "{}")},
        ]);
        for deltas in [by_index, all_zero, by_id, changing, by_position] {
            assert_eq!(calls(deltas.clone()), "a x{} | b y{}", "{deltas}");
        }
        let repeated = json!([
            {"index": 0, "id": "a", "function": f(Some("x"), "{")},
            {"index": 0, "id": "a", "function": f(Some("x"), "}")},
        ]);
        assert_eq!(calls(repeated), "a x{}");
        assert_eq!(
            calls(json!([{"function": f(Some("x"), "1")}, {"function": f(Some("x"), "2")}])),
            " x1 |  x2"
        );
        assert_eq!(
            calls(json!([{"function": {"name": "x", "arguments": {"a": 1}}}, {"function": null}])),
            " x{\"a\":1}"
        );
    }

    #[test]
    fn calls_are_bounded() {
        let mut calls = Calls::default();
        let delta = |index| CallDelta { index: Some(index), ..CallDelta::default() };
        let added = (0..1000).take_while(|index| calls.add(delta(*index)).is_ok()).count();
        assert_eq!(added, MAX_CALLS);
    }
}
