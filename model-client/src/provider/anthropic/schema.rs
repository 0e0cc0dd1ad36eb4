//! Brings the JSON Schema of an answer into the form that the server takes. Pure.

use serde_json::{Value, json};

/// The schema with `additionalProperties: false` at each object without that keyword. The server rejects an
/// object without it. What matches the new schema also matches the old one.
pub(super) fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    if members.get("type").is_some_and(|kind| kind == "object") || members.contains_key("properties") {
        members.entry("additionalProperties").or_insert(json!(false));
    }
    for (keyword, value) in members {
        match keyword.as_str() {
            "properties" | "$defs" | "definitions" => {
                value.as_object_mut().into_iter().flatten().for_each(|(_, schema)| close(schema));
            }
            "anyOf" | "allOf" | "oneOf" => value.as_array_mut().into_iter().flatten().for_each(close),
            "items" => close(value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_closed_unless_it_says_otherwise() {
        let schema = json!({
            "type": "object",
            "properties": {
                "properties": {"type": "string"},
                "open": {"type": "object", "additionalProperties": true},
                "list": {"type": "array", "items": {"properties": {}}},
                "either": {"anyOf": [{"type": "object"}, {"$ref": "#/$defs/x"}, true]},
            },
            "$defs": {"x": {"type": "object"}},
        });
        let expected = json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "properties": {"type": "string"},
                "open": {"type": "object", "additionalProperties": true},
                "list": {"type": "array", "items": {"properties": {}, "additionalProperties": false}},
                "either": {"anyOf": [
                    {"type": "object", "additionalProperties": false}, {"$ref": "#/$defs/x"}, true,
                ]},
            },
            "$defs": {"x": {"type": "object", "additionalProperties": false}},
        });
        assert_eq!(closed(&schema), expected);
        for other in [json!(true), json!({"properties": 1, "anyOf": {}}), json!([])] {
            closed(&other);
        }
    }
}
