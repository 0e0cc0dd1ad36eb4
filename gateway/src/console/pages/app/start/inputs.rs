//! Turns a form's texts into a run's inputs, and back. Pure.

use serde_json::{Map, Number, Value};
use shared::apps::{InputField, InputType};

use crate::console::form::Form;

/// Prefix of the form fields for inputs: an input may have the name of another field of the form.
pub(crate) const INPUT: &str = "input.";

/// An input as text in a form.
pub(crate) fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The form's texts as JSON values of the fields' types. A text that does not fit its type stays a text, and
/// the validation reports it.
pub(crate) fn inputs(fields: &[InputField], form: &Form) -> Map<String, Value> {
    let mut inputs = Map::new();
    for field in fields {
        let Some(text) = form.get(&format!("{INPUT}{}", field.name)) else { continue };
        if text.is_empty() && (field.required || field.default.is_none() || field.r#type != InputType::Text) {
            continue;
        }
        let value = match field.r#type {
            InputType::Number => number(text).map_or_else(|| text.into(), Value::Number),
            InputType::Boolean => text.parse::<bool>().map_or_else(|_| text.into(), Value::Bool),
            InputType::Text | InputType::Select => text.into(),
            InputType::File => continue,
        };
        inputs.insert(field.name.clone(), value);
    }
    inputs
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    text.parse::<i64>().ok().map(Number::from).or_else(|| Number::from_f64(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_values_of_the_fields_types() {
        let field = |name: &str, kind: &str, default: Value| -> InputField {
            serde_json::from_value(json!({"name": name, "type": kind, "default": default})).unwrap()
        };
        let fields = [
            field("t", "text", json!("x")),
            field("u", "text", Value::Null),
            field("n", "number", Value::Null),
            field("m", "number", Value::Null),
            field("b", "boolean", Value::Null),
        ];
        let pairs = [
            ("input.t", ""),
            ("input.u", ""),
            ("input.n", "2.5"),
            ("input.m", "two"),
            ("input.b", "true"),
            ("t", "no"),
        ];
        let form =
            Form::of(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))).unwrap();
        assert_eq!(json!(inputs(&fields, &form)), json!({"t": "", "n": 2.5, "m": "two", "b": true}));
    }
}
