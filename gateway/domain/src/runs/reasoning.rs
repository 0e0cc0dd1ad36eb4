//! What a model says about its reasoning.

use serde_json::Value;

/// The members that hold text for people, or hold such members. Servers also send signatures, encrypted
/// reasoning and ids.
const READABLE: [&str; 13] = [
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "think",
    "thinking_blocks",
    "block",
    "items",
    "item",
    "content",
    "summary",
    "text",
    "thinking",
    "parts",
];

/// The texts of a model's reasoning. Model servers use different fields, so this collects all texts.
#[must_use]
pub fn reasoning_text(reasoning: &Value) -> Option<String> {
    fn collect<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(members) => {
                let readable = members.iter().filter(|(name, _)| READABLE.contains(&name.as_str()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_text_for_people_is_shown() {
        let thinking = json!({"type": "thinking", "thinking": "Hm.", "signature": "s"});
        let item = json!({"encrypted_content": "s", "summary": [{"type": "summary_text", "text": "Hm."}]});
        let details = json!([{"type": "reasoning.text", "text": "Hm.", "signature": "s"}]);
        let cases = [
            (json!({"reasoning_content": "Hm.", "extra_content": {"google": "s"}}), Some("Hm.")),
            (json!({"thinking_blocks": [{"at": 0, "block": thinking}]}), Some("Hm.")),
            (json!({"items": [{"at": 0, "item": item}], "phase": "final"}), Some("Hm.")),
            (json!({"items": [{"at": 0, "item": {"encrypted_content": "s", "summary": []}}]}), None),
            (json!({"reasoning": "Hm.", "reasoning_details": details}), Some("Hm.")),
        ];
        for (reasoning, expected) in cases {
            assert_eq!(reasoning_text(&reasoning).as_deref(), expected, "{reasoning}");
        }
    }
}
