//! Arguments as a model writes them: JSON, more or less. Every mistake is told to the model, which can mend
//! it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use shared::text::check_json;

use super::ToolError;

/// The arguments of a call: an object, storable as jsonb. Models write nothing where a tool needs nothing.
pub fn parse(text: &str) -> Result<Value, ToolError> {
    let refused = |why: &str| {
        ToolError::RespondToModel(format!(
            "The arguments are no JSON object: {why}. Call the tool again with valid ones."
        ))
    };
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let arguments: Value = serde_json::from_str(text).map_err(|error| refused(&error.to_string()))?;
    check_json(&arguments).map_err(|refusal| refused(&refusal.to_string()))?;
    if arguments.is_object() { Ok(arguments) } else { Err(refused("they are something else")) }
}

/// The arguments as a tool's own type.
pub fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, ToolError> {
    serde_json::from_value(arguments)
        .map_err(|error| ToolError::RespondToModel(format!("The arguments do not fit: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mistakes_are_told_to_the_model() {
        assert_eq!(parse(r#" {"a": 1} "#), Ok(json!({"a": 1})));
        assert_eq!(parse(" "), Ok(json!({})));
        for text in [
            r#"{"a": "#,
            "[]",
            "null",
            r#"{"a":"\u0000"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e999}"#,
            &"[".repeat(200),
        ] {
            assert!(matches!(parse(text), Err(ToolError::RespondToModel(_))), "{text}");
        }
        assert!(matches!(read::<u8>(json!("x")), Err(ToolError::RespondToModel(_))));
    }
}
