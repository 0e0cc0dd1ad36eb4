//! What the derive macros cannot express in schemas, for people and for generators of clients. Pure.

use gateway_domain::accounts::Scope;
use gateway_domain::runs::request::{MAX_METADATA_KEY_CHARS, MAX_METADATA_PAIRS, MAX_METADATA_VALUE_CHARS};
use serde_json::{Map, Value, json};

use crate::http::multipart::MAX_FILES;

pub(super) fn finish(schemas: &mut Value) {
    for form in ["CreateRun", "CreateRunForm"] {
        schemas[form]["properties"]["webhookEvents"]["uniqueItems"] = json!(true);
        let metadata = &mut schemas[form]["properties"]["metadata"];
        metadata["maxProperties"] = json!(MAX_METADATA_PAIRS);
        metadata["propertyNames"] = json!({ "maxLength": MAX_METADATA_KEY_CHARS });
        metadata["additionalProperties"]["maxLength"] = json!(MAX_METADATA_VALUE_CHARS);
    }
    schemas["CreateRunForm"]["properties"]["files"]["maxItems"] = json!(MAX_FILES);
    for request in ["CreateRun", "CreateRunForm", "AppFile", "AppFileInput", "AppFileFetch"] {
        members_of(&mut schemas[request], "properties").for_each(without_null);
    }
    for form in ["CreateRun", "CreateRunForm"] {
        let mut within = schemas[form].clone();
        within["description"] = json!("A run to create of the app that the path names.");
        within["properties"]["appId"]["description"] = json!("Ignored: the path names the app.");
        if let Some(members) = within.as_object_mut() {
            members.remove("required");
        }
        schemas[format!("{form}OfApp")] = within;
    }
    let scopes = json!(Scope::ALL.map(Scope::as_str));
    schemas["Key"]["properties"]["scopes"]["items"]["enum"] = scopes.clone();
    schemas["Problem"]["properties"]["scope"]["enum"] = scopes;
    for (_, schema) in schemas.as_object_mut().into_iter().flatten() {
        members_of(schema, "properties").for_each(close);
    }
}

/// The values of the members of the object at `name`, if there is one. (Indexing would insert null.)
pub(super) fn members_of<'v>(parent: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> {
    let object = parent.get_mut(name).and_then(Value::as_object_mut);
    object.into_iter().flat_map(Map::values_mut)
}

/// The items of the array at `name`, if there is one.
pub(super) fn items_of<'v>(parent: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> {
    parent.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

/// A parameter, a part of a form and an optional member of a request are absent or have a value. (A create
/// takes null for absent too, but a type without null is easier to use.)
pub(super) fn without_null(schema: &mut Value) {
    if let Some(kinds) = schema.get("type").and_then(Value::as_array) {
        let kinds: Vec<_> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
        schema["type"] = if let [one] = kinds.as_slice() { one.clone() } else { kinds.into() };
    }
    for choice in ["oneOf", "anyOf"] {
        let Some(choices) = schema.get(choice).and_then(Value::as_array) else { continue };
        let mut choices = choices.iter().filter(|choice| choice["type"] != "null").cloned();
        if let (Some(one), None) = (choices.next(), choices.next()) {
            *schema = one;
        }
    }
}

/// Writes a pattern that lists texts as the closed set that it is: generators make a type of it.
pub(super) fn close(schema: &mut Value) {
    let listed =
        schema["pattern"].as_str().and_then(|pattern| pattern.strip_prefix("^(")?.strip_suffix(")$"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "|,_.:".contains(c);
    let Some(texts) = listed.filter(|listed| listed.chars().all(plain)) else { return };
    let texts: Vec<_> = texts.split('|').map(str::to_owned).collect();
    schema["enum"] = texts.into();
    if let Some(members) = schema.as_object_mut() {
        members.remove("pattern");
    }
}

/// The bytes of a file. `*/*` is what the media type may be; generators of clients know the other one.
pub(super) fn file_content() -> Value {
    let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
    json!({ "*/*": bytes, "application/octet-stream": bytes })
}

/// Any number of parameters `metadata=KEY=VALUE`. Generators of clients cannot send the other form,
/// `metadata.KEY=VALUE`.
pub(super) fn metadata_parameter() -> Value {
    let pattern =
        format!("^[^=\\u0000]{{1,{MAX_METADATA_KEY_CHARS}}}=[^\\u0000]{{0,{MAX_METADATA_VALUE_CHARS}}}$");
    json!({
        "name": "metadata", "in": "query", "style": "form", "explode": true,
        "description": "`KEY=VALUE`: a pair that the run must have. May repeat with other keys. \
                        `metadata.KEY=VALUE` is the same, and also takes keys with `=`.",
        "schema": { "type": "array", "items": { "type": "string", "pattern": pattern } },
        "example": ["customer=42"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_patterns_are_replaced() {
        for (mut schema, expected) in [
            (json!({"type": ["string", "null"]}), json!({"type": "string"})),
            (json!({"type": ["string", "integer", "null"]}), json!({"type": ["string", "integer"]})),
            (json!({"oneOf": [{"type": "null"}, {"$ref": "#/a"}]}), json!({"$ref": "#/a"})),
            (json!({"type": "string"}), json!({"type": "string"})),
        ] {
            without_null(&mut schema);
            assert_eq!(schema, expected);
        }
        for (mut schema, expected) in [
            (json!({"pattern": "^(a|b_c)$"}), json!({"enum": ["a", "b_c"]})),
            (json!({"pattern": "^(a|b)+$"}), json!({"pattern": "^(a|b)+$"})),
            (json!({"pattern": "^([a-z])$"}), json!({"pattern": "^([a-z])$"})),
        ] {
            close(&mut schema);
            assert_eq!(schema, expected);
        }
    }

    /// Generators make a required member of an optional one that has a default.
    #[test]
    fn no_member_has_a_default() {
        let document: Value = serde_json::from_str(super::super::document()).unwrap();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
                assert!(
                    schema.get("default").is_none(),
                    "{name}.{member}: say the default in its description"
                );
            }
        }
    }

    /// Paths of null outside of examples.
    fn nulls(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Null => found.push(path.to_owned()),
            Value::Object(members) => members
                .iter()
                .filter(|(name, _)| !name.starts_with("example"))
                .for_each(|(name, member)| nulls(member, &format!("{path}/{name}"), found)),
            Value::Array(items) => items.iter().for_each(|item| nulls(item, path, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_has_no_null() {
        let document: Value = serde_json::from_str(super::super::document()).unwrap();
        let mut found = Vec::new();
        nulls(&document, "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn operations_are_named_and_parameters_are_not_nullable() {
        let document: Value = serde_json::from_str(super::super::document()).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let what = format!("{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{what}");
                assert!(operation["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{what}");
                assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(!parameter["schema"].to_string().contains("\"null\""), "{what}: {parameter}");
                }
            }
        }
        assert!(names.len() > 15, "{names:?}");
    }
}
