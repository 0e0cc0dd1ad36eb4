//! The arguments of a call. A model writes them as JSON, more or less; every mistake is reported to the
//! model, which can correct it.

use model_client::UNUSED_PARAMETER;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use shared::text::check_json;

use super::{Spec, ToolError};

/// Parses an object that can be stored as jsonb. Empty text and null count as an empty object.
pub fn parse(text: &str) -> Result<Value, ToolError> {
    let refused = |why: &str| {
        ToolError::RespondToModel(format!(
            "The arguments are not a JSON object: {why}. Call the tool again with valid ones."
        ))
    };
    if ["", "null"].contains(&text.trim()) {
        return Ok(Value::Object(Map::new()));
    }
    let arguments: Value = serde_json::from_str(text).map_err(|error| refused(&error.to_string()))?;
    check_json(&arguments).map_err(|refusal| refused(&refusal.to_string()))?;
    if arguments.is_object() { Ok(arguments) } else { Err(refused("they have another type")) }
}

/// The arguments of a call of this tool, without the parameter that a tool without parameters shows.
pub fn of_tool(text: &str, spec: &Spec) -> Result<Value, ToolError> {
    let mut arguments = parse(text)?;
    let takes_nothing = spec.parameters["properties"].as_object().is_none_or(Map::is_empty);
    if takes_nothing && let Some(members) = arguments.as_object_mut() {
        members.remove(UNUSED_PARAMETER);
    }
    Ok(arguments)
}

/// Reads the arguments into the type of a tool. A parameter that is null counts as absent, as models mean it.
pub fn read<T: DeserializeOwned>(mut arguments: Value) -> Result<T, ToolError> {
    if let Some(members) = arguments.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner());
        let place = if path == "." { String::new() } else { format!(" {path}:") };
        ToolError::RespondToModel(format!("The arguments do not fit:{place} {why}."))
    })
}

/// The JSON Schema that a model gets for the type of a tool. The doc comments of the fields are their
/// descriptions.
pub(super) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
    let generator = settings.with_transform(RecursiveTransform(simplify)).into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    // Some model servers refuse an object without properties.
    schema.ensure_object().entry("properties").or_insert_with(|| Map::new().into());
    schema.to_value()
}

/// Removes what only Rust needs, and shows an optional field without the type null.
fn simplify(schema: &mut Schema) {
    schema.remove("title");
    schema.remove("format");
    // Some model servers refuse defaults. The descriptions name them.
    schema.remove("default");
    if let Some(Value::Array(types)) = schema.get("type")
        && let [only, null] = &types[..]
        && null == "null"
    {
        schema.insert("type".to_owned(), only.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mistakes_are_reported_to_the_model() {
        assert_eq!(parse(r#" {"a": 1} "#), Ok(json!({"a": 1})));
        assert_eq!((parse(" "), parse("null")), (Ok(json!({})), Ok(json!({}))));
        for text in
            [r#"{"a": "#, "[]", r#"{"a":"\u0000"}"#, r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#, &"[".repeat(200)]
        {
            assert!(matches!(parse(text), Err(ToolError::RespondToModel(_))), "{text}");
        }
        assert!(matches!(read::<u8>(json!("x")), Err(ToolError::RespondToModel(_))));
    }

    #[test]
    fn null_is_absent_and_a_wrong_type_names_its_parameter() {
        #[derive(Debug, serde::Deserialize, PartialEq)]
        #[serde(deny_unknown_fields)]
        struct Arguments {
            path: String,
            #[serde(default)]
            lines: usize,
        }
        let read = super::read::<Arguments>;
        assert_eq!(
            read(json!({"path": "a", "lines": null})),
            Ok(Arguments { path: "a".to_owned(), lines: 0 })
        );
        let why = |arguments| match read(arguments) {
            Err(ToolError::RespondToModel(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(json!({"path": "a", "lines": "many"})).starts_with("The arguments do not fit: lines: "));
        assert!(why(json!({"path": null})).contains("missing field `path`"));
    }
}
