//! Validates a run's inputs against the app's fields and lists every missing, unknown and wrongly typed
//! input. Pure.

use serde_json::{Map, Value};
use shared::apps::{InputField, InputType};

use crate::suggestion::did_you_mean;
use crate::{FieldError, MAX_FIELD_ERRORS, quoted};

/// The inputs with defaults, or all errors. `file` returns the workspace path of the file that came for an
/// input.
pub fn check_inputs(
    fields: &[InputField],
    given: &Map<String, Value>,
    file: impl Fn(&str) -> Option<String>,
) -> Result<Map<String, Value>, Vec<FieldError>> {
    let known: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    let mut errors: Vec<_> = given
        .keys()
        .filter(|name| !known.contains(&name.as_str()))
        .take(MAX_FIELD_ERRORS)
        .map(|name| {
            let name = &quoted(name);
            let meant = did_you_mean(name, known.iter().copied());
            let message = format!("the app has no input {name:?}{meant}; it has: {}", known.join(", "));
            FieldError::member("/inputs", name, "unknown", message)
        })
        .collect();
    let mut inputs = Map::new();
    for field in fields {
        if field.r#type == InputType::File
            && let Some(path) = file(&field.name)
        {
            inputs.insert(field.name.clone(), path.into());
            continue;
        }
        match given.get(&field.name).filter(|value| !value.is_null()).or(field.default.as_ref()) {
            Some(value) => match wrong(field, value) {
                None => {
                    inputs.insert(field.name.clone(), value.clone());
                }
                Some(message) => errors.push(FieldError::member("/inputs", &field.name, "type", message)),
            },
            None if field.required => {
                errors.push(FieldError::member(
                    "/inputs",
                    &field.name,
                    "required",
                    match field.r#type {
                        InputType::File => format!(
                            "the file {:?} is missing; send it as a part of that name of multipart/form-data",
                            field.name
                        ),
                        _ => format!("the input {:?} is missing", field.name),
                    },
                ));
            }
            // The prompt renders null as empty text, but rejects names that the app does not have.
            None => {
                inputs.insert(field.name.clone(), Value::Null);
            }
        }
    }
    if errors.is_empty() { Ok(inputs) } else { Err(errors) }
}

/// What is wrong with a value, in words. Also used for the defaults of a definition.
pub(super) fn wrong(field: &InputField, value: &Value) -> Option<String> {
    let name = &field.name;
    match (field.r#type, value) {
        (InputType::Text, Value::String(_))
        | (InputType::Number, Value::Number(_))
        | (InputType::Boolean, Value::Bool(_)) => None,
        (InputType::Select, Value::String(choice)) if field.options.contains(choice) => None,
        (InputType::Select, _) => {
            Some(format!("the input {name:?} must be one of: {}", field.options.join(", ")))
        }
        (InputType::File, _) => {
            Some(format!("the input {name:?} is a file: send it as a part {name:?} of multipart/form-data"))
        }
        (InputType::Text, _) => Some(format!("the input {name:?} must be a string")),
        (InputType::Number, _) => Some(format!("the input {name:?} must be a number")),
        (InputType::Boolean, _) => Some(format!("the input {name:?} must be true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(name: &str, r#type: InputType, required: bool, default: Option<Value>) -> InputField {
        let options = vec!["red".to_owned(), "blue".to_owned()];
        InputField { name: name.to_owned(), label: None, r#type, required, default, options }
    }

    #[test]
    fn one_answer_lists_all_errors() {
        let fields = [
            field("t", InputType::Text, true, None),
            field("n", InputType::Number, false, Some(json!(3))),
            field("b", InputType::Boolean, false, None),
            field("s", InputType::Select, false, None),
            field("f", InputType::File, true, None),
        ];
        let check = |given: Value| {
            check_inputs(&fields, given.as_object().unwrap(), |name| {
                (name == "f").then(|| "inputs/f.csv".to_owned())
            })
        };
        assert_eq!(
            json!(check(json!({"t": "x"})).unwrap()),
            json!({"t": "x", "n": 3, "b": null, "s": null, "f": "inputs/f.csv"})
        );
        assert_eq!(json!(check(json!({"t": "x", "s": "red", "b": false})).unwrap()["s"]), json!("red"));
        let errors = check(json!({"n": "3", "b": 1, "s": "green", "a/b": 0})).unwrap_err();
        let found: Vec<_> = errors
            .iter()
            .map(|error| (json!(error.location)["pointer"].as_str().unwrap().to_owned(), error.code))
            .collect();
        assert_eq!(
            found,
            [
                ("/inputs/a~1b".to_owned(), "unknown"),
                ("/inputs/t".to_owned(), "required"),
                ("/inputs/n".to_owned(), "type"),
                ("/inputs/b".to_owned(), "type"),
                ("/inputs/s".to_owned(), "type"),
            ]
        );
    }
}
