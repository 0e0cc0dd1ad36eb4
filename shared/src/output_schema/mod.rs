//! The JSON Schema of an app's result (2020-12, unless `$schema` says otherwise). The gateway rejects on
//! import every schema that the worker could not use. The app's author may be hostile: a `$ref` cannot leave
//! the schema, and patterns match in linear time. To compile and to apply a schema may use much time and
//! memory, so only the program `definition-checker` does so.

mod paths;
mod words;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// Bounds one compiled pattern.
const MAX_PATTERN_BYTES: usize = 128 * 1024;
/// Bounds the patterns and references of a schema: each costs memory, and references nest.
const MAX_COSTLY: usize = 100;
/// Bounds the subschemas that a schema expands to. A reference that two places share doubles them, so a few
/// lines may expand to millions.
const MAX_PATHS: u64 = 10_000;
/// Bounds the list for the model, which can repair only a few violations at once.
const MAX_VIOLATIONS: usize = 10;

/// A compiled schema.
pub(crate) struct OutputSchema(Validator);

/// Why a schema cannot be used. The text is for the app's author.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaRefusal(String);

/// Refuses a schema by its size, without compiling it. Its time is linear in the schema.
pub fn scan(schema: &Value) -> Result<(), SchemaRefusal> {
    let refused = |why: &str| Err(SchemaRefusal(why.to_owned()));
    if !schema.is_object() {
        return refused("must be a JSON Schema, an object like { \"type\": \"object\", … }");
    }
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return refused(&format!("is longer than {MAX_SCHEMA_BYTES} bytes"));
    }
    if costly(schema) > MAX_COSTLY {
        return refused(&format!("has more than {MAX_COSTLY} patterns and references together"));
    }
    if paths::count(schema) > MAX_PATHS {
        return refused(&format!(
            "has more than {MAX_PATHS} subschemas when each $ref is replaced by what it names; refer to a \
             schema from fewer places"
        ));
    }
    Ok(())
}

impl OutputSchema {
    pub(crate) fn compile(schema: &Value) -> Result<Self, SchemaRefusal> {
        let options =
            jsonschema::options().with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES));
        let compiled = options.build(schema).map_err(|error| {
            let place = error.instance_path().to_string();
            SchemaRefusal(format!(
                "{error}{}",
                if place.is_empty() { place } else { format!(" (at {place})") }
            ))
        })?;
        Ok(Self(compiled))
    }

    /// Returns what is wrong with `value`, each violation with its place.
    #[must_use]
    pub(crate) fn violations(&self, value: &Value) -> Vec<String> {
        if self.0.is_valid(value) {
            return Vec::new();
        }
        self.0.iter_errors(value).take(MAX_VIOLATIONS).map(|error| words::sentence(&error)).collect()
    }
}

fn costly(schema: &Value) -> usize {
    match schema {
        Value::Array(items) => items.iter().map(costly).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| {
                let own = match key.as_str() {
                    "pattern" | "$ref" | "$dynamicRef" | "$recursiveRef" => 1,
                    "patternProperties" => member.as_object().map_or(0, serde_json::Map::len),
                    _ => 0,
                };
                own + costly(member)
            })
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn violations_name_their_places() {
        let schema = OutputSchema::compile(&json!({
            "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n", "s"],
        }));
        let schema = schema.unwrap();
        assert!(schema.violations(&json!({"n": 1, "s": 2})).is_empty());
        let violations = schema.violations(&json!({"n": "x"})).join("; ");
        assert_eq!(violations, r#"the value lacks the member "s"; /n must be a whole number"#);
    }

    #[test]
    fn violations_have_plain_sentences() {
        let said = |schema: Value, value: Value| {
            OutputSchema::compile(&schema).unwrap().violations(&value).join("; ")
        };
        for (schema, value, expected) in [
            (json!({"type": ["string", "null"]}), json!(1), "the value must be null or a string"),
            (json!({"enum": ["a", 1]}), json!(2), "the value must be one of: \"a\", 1"),
            (json!({"const": "a"}), json!(2), "the value must be \"a\""),
            (json!({"minimum": 3}), json!(2), "the value must be 3 or more"),
            (json!({"maxLength": 1}), json!("ab"), "the value must have 1 characters or fewer"),
            (json!({"items": {"type": "object"}}), json!([{}, 1]), "/1 must be an object"),
            (json!({"uniqueItems": true}), json!([1, 1]), "the value must not have an item twice"),
            (json!({"pattern": "^a$"}), json!("b"), "the value must match the pattern ^a$"),
            (
                json!({"properties": {"a": {}}, "additionalProperties": false}),
                json!({"x": 1}),
                "the value has members that the schema does not know: \"x\"",
            ),
            (json!({"properties": {"a": false}}), json!({"a": 1}), "/a is not allowed"),
            (
                json!({"anyOf": [{"type": "null"}]}),
                json!(1),
                "the value matches none of the schemas in anyOf",
            ),
        ] {
            assert_eq!(said(schema, value), expected);
        }
        let long = "x".repeat(10_000);
        assert!(said(json!({"const": long}), json!(1)).len() < 300, "the schema's values may be long");
    }

    #[test]
    fn unusable_schemas_are_rejected() {
        let compiled = |schema: Value| scan(&schema).and_then(|()| OutputSchema::compile(&schema));
        let refusal = |schema: Value| compiled(schema).err().map(|refusal| refusal.to_string());
        assert!(refusal(json!("object")).unwrap().contains("must be a JSON Schema"));
        assert!(refusal(json!({"type": "objekt"})).unwrap().contains("/type"));
        assert!(refusal(json!({"$ref": "http://127.0.0.1:1/x.json"})).is_some(), "nothing is fetched");
        assert!(refusal(json!({"$ref": "file:///etc/passwd"})).is_some());
        assert!(refusal(json!({"pattern": r"(a)\1"})).is_some(), "no pattern that needs backtracking");
        let patterns = json!({"allOf": vec![json!({"pattern": "a"}); MAX_COSTLY + 1]});
        assert!(refusal(patterns).unwrap().contains("patterns and references"));
        assert!(refusal(json!({"pattern": r"\p{L}{1000}"})).is_some(), "no pattern that costs megabytes");
        assert!(refusal(json!({"description": "x".repeat(MAX_SCHEMA_BYTES)})).unwrap().contains("longer"));
        assert!(OutputSchema::compile(&json!({"$ref": "#"})).unwrap().violations(&json!(1)).is_empty());
    }
}
