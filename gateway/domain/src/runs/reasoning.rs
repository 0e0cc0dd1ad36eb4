//! What a model says about its reasoning.

use serde_json::Value;

/// The texts of a model's reasoning. Model servers use different fields, so this collects all texts.
#[must_use]
pub fn reasoning_text(reasoning: &Value) -> Option<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(members) => {
                let readable = members.iter().filter(|(name, _)| {
                    !["signature", "type", "format", "id", "data"].contains(&name.as_str())
                });
                readable.for_each(|(_, member)| collect(member, into));
            }
            _ => {}
        }
    }
    let mut texts = Vec::new();
    collect(reasoning, &mut texts);
    texts.dedup();
    let all = texts.join("\n");
    (!all.trim().is_empty()).then_some(all)
}
