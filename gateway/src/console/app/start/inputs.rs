//! Between a form's texts and a run's inputs: pure.

use serde_json::{Map, Number, Value};
use shared::apps::{InputField, InputType};

use super::super::super::form::Form;

/// Begins the names of the inputs' fields, so that no input is taken for a field of ours.
pub(super) const INPUT: &str = "input.";

/// A value as a form shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The form's texts as JSON values of the fields' types; what does not fit stays text, for the check to name.
pub(super) fn inputs(fields: &[InputField], form: &Form) -> Map<String, Value> {
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
    use super::*;
    use serde_json::json;

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
