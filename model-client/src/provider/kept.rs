//! Puts the reasoning of an answer at its place among the text and the calls. Pure. Servers reject reasoning
//! that comes back at another place.

use serde_json::Value;

use crate::Call;
use crate::json::number;

/// One part of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Part<'a> {
    /// Reasoning, as the server sent it.
    Kept(&'a Value),
    Text(&'a str),
    Call(&'a Call),
}

/// The parts of an answer in their order. The array `list` of `reasoning` holds objects: `at` is the number
/// of texts and calls before the reasoning, and the member `value` is the reasoning itself.
pub(super) fn parts<'a>(
    reasoning: Option<&'a Value>,
    (list, value): (&str, &str),
    text: &'a str,
    calls: &'a [Call],
) -> Vec<Part<'a>> {
    let said = (!text.trim().is_empty()).then_some(Part::Text(text));
    // Servers reject reasoning at the end of an answer. It gets there only if a blank text was left out.
    let newest = (usize::from(said.is_some()) + calls.len()).saturating_sub(1);
    let items = reasoning.and_then(|fields| fields.get(list)).and_then(Value::as_array);
    let mut kept = items
        .into_iter()
        .flatten()
        .filter_map(|item| Some((place(item)?.min(newest), item.get(value)?)))
        .peekable();
    let mut parts = Vec::new();
    for (position, part) in said.into_iter().chain(calls.iter().map(Part::Call)).enumerate() {
        while let Some((_, value)) = kept.next_if(|(at, _)| *at <= position) {
            parts.push(Part::Kept(value));
        }
        parts.push(part);
    }
    parts
}

fn place(item: &Value) -> Option<usize> {
    item.get("at").and_then(number).and_then(|at| usize::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasoning_keeps_its_place() {
        let call = |id: &str| Call { id: id.into(), name: "f".into(), arguments: "{}".into(), extra: None };
        let calls = [call("a"), call("b")];
        let shown = |at: &[i64], text: &str, calls: &[Call]| {
            let list: Value = at.iter().map(|at| json!({"at": at, "item": at})).collect();
            let reasoning = json!({"items": list});
            let parts = parts(Some(&reasoning), ("items", "item"), text, calls);
            let names = parts.into_iter().map(|part| match part {
                Part::Kept(value) => value.to_string(),
                Part::Text(text) => text.to_owned(),
                Part::Call(call) => call.id.clone(),
            });
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(&[0], "text", &[]), "0 text");
        assert_eq!(shown(&[0, 0, 1, 2], "text", &calls), "0 0 text 1 a 2 b");
        assert_eq!(shown(&[0, 1], "", &calls), "0 a 1 b");
        assert_eq!(shown(&[1, 9], "\n", &calls[..1]), "1 9 a");
        assert_eq!(shown(&[-1], "text", &[]), "text");
        assert_eq!(shown(&[0], "", &[]), "");
    }

    #[test]
    fn other_fields_are_no_reasoning() {
        for reasoning in [json!(null), json!({"items": 1}), json!({"items": [1, {"at": 0}, {"item": 1}]})] {
            let parts = parts(Some(&reasoning), ("items", "item"), "text", &[]);
            assert_eq!(parts, [Part::Text("text")], "{reasoning}");
        }
    }
}
