//! Sample values of an app's inputs. Pure.

use serde_json::{Map, Value, json};
use shared::apps::{InputField, InputType};

/// Characters of a text in an example: each quote in it takes many bytes in each language.
const MAX_SAMPLE_CHARS: usize = 200;

/// What a field's name or label says about the kind of its file. The first match counts.
const KINDS: &[(&str, &[&str])] = &[
    ("xlsx", &["excel", "xlsx", "spreadsheet"]),
    ("pdf", &["pdf", "invoice", "contract", "document", "letter", "paper"]),
    ("png", &["image", "photo", "picture", "logo", "scan", "screenshot", "png"]),
    ("json", &["json"]),
    ("zip", &["zip", "archive"]),
    ("csv", &["csv", "table", "data", "sheet", "sales", "rows"]),
];

/// A sample value for each field. That of a file is its path in the agent's workspace, as in a run.
pub(crate) fn sample_inputs(fields: &[InputField]) -> Value {
    let sample = |field: &InputField| match (&field.default, field.r#type) {
        (Some(default), _) => Some(default.clone()),
        (None, InputType::Text) => {
            Some(json!(format!("A {}", field.label.as_ref().unwrap_or(&field.name).to_lowercase())))
        }
        (None, InputType::Number) => Some(json!(42)),
        (None, InputType::Boolean) => Some(json!(true)),
        (None, InputType::Select) => field.options.first().map(|option| json!(option)),
        (None, InputType::File) => Some(json!(format!("inputs/{}", file_name(field)))),
    };
    let pairs = fields.iter().filter_map(|field| Some((field.name.clone(), sample(field)?)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// A name for the file of this field. Names of fields consist of letters, digits and `_`.
pub(super) fn file_name(field: &InputField) -> String {
    let words = format!("{} {}", field.name, field.label.as_deref().unwrap_or_default()).to_lowercase();
    let kind = KINDS.iter().find(|(_, signs)| signs.iter().any(|sign| words.contains(sign)));
    format!("{}.{}", field.name, kind.map_or("txt", |(extension, _)| extension))
}

/// Cuts a long text.
pub(super) fn shorten(value: &mut Value) {
    if let Value::String(text) = value
        && text.chars().nth(MAX_SAMPLE_CHARS).is_some()
    {
        *text = text.chars().take(MAX_SAMPLE_CHARS).chain(['…']).collect();
    }
}
