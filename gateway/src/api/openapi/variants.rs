//! Gives each variant of a schema with variants a schema of its own. serde's tagged enums have nameless
//! variants, of which generators of clients make nothing or types without a use. Pure.

use serde_json::{Map, Value, json};

pub(super) fn name_variants(schemas: &mut Value) {
    let known = schemas.clone();
    let (mut named, mut joined) = (Vec::new(), Vec::new());
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        joined.extend(distribute(schema, &known));
        let variants = schema.get_mut("oneOf").and_then(Value::as_array_mut);
        for variant in variants.into_iter().flatten() {
            if let Some(tag) = tag_of(variant) {
                let own = format!("{name}{}", pascal_case(&tag));
                let reference = json!({ "$ref": format!("#/components/schemas/{own}") });
                named.push((name.clone(), own, std::mem::replace(variant, reference)));
            }
        }
    }
    let Some(schemas) = schemas.as_object_mut() else { return };
    for (_, own, variant) in named.into_iter().filter(|(name, ..)| !joined.contains(name)) {
        schemas.insert(own, variant);
    }
    for name in joined {
        schemas.remove(&name);
    }
}

/// Makes variants of a schema that joins members with a schema of variants. Returns the name of the latter,
/// which exists only for that.
fn distribute(schema: &mut Value, known: &Value) -> Option<String> {
    let parts = schema.get("allOf")?.as_array()?;
    let referenced = |part: &Value| {
        let name = part["$ref"].as_str()?.rsplit('/').next()?;
        Some((name.to_owned(), known[name]["oneOf"].as_array()?.clone()))
    };
    let (name, variants) = parts.iter().find_map(referenced)?;
    let others: Vec<_> = parts.iter().filter(|part| referenced(part).is_none()).cloned().collect();
    let joined: Vec<_> = variants.into_iter().map(|variant| join(variant, &others)).collect();
    let members = schema.as_object_mut()?;
    members.remove("allOf");
    members.insert("oneOf".to_owned(), joined.into());
    Some(name)
}

/// The variant with the members of the other parts.
fn join(mut variant: Value, others: &[Value]) -> Value {
    for other in others {
        for (name, member) in other["properties"].as_object().into_iter().flatten() {
            variant["properties"][name] = member.clone();
        }
        let required = [&variant["required"], &other["required"]].map(Value::as_array);
        let required: Vec<_> = required.into_iter().flatten().flatten().cloned().collect();
        variant["required"] = required.into();
    }
    variant
}

/// The only value of the member that tells a variant from the others.
fn tag_of(variant: &Value) -> Option<String> {
    let own = variant["properties"].as_object();
    let joined = variant["allOf"].as_array().into_iter().flatten();
    let members = own.into_iter().chain(joined.filter_map(|part| part["properties"].as_object()));
    members.flat_map(Map::values).find_map(|member| match member["enum"].as_array()?.as_slice() {
        [Value::String(tag)] => Some(tag.clone()),
        _ => None,
    })
}

/// `RunTakenOver` for `run.taken_over`
fn pascal_case(tag: &str) -> String {
    let words = tag.split(['.', '_', '-']).map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>())
    });
    words.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_get_names_and_joined_members() {
        let variant =
            |tag: &str| json!({ "properties": { "type": { "enum": [tag] } }, "required": ["type"] });
        let mut schemas = json!({
            "Data": { "oneOf": [variant("run.taken_over"), variant("note")] },
            "Event": { "allOf": [
                { "$ref": "#/components/schemas/Data" },
                { "properties": { "seq": { "type": "integer" } }, "required": ["seq"] },
            ] },
            "Plain": { "type": "string" },
        });
        name_variants(&mut schemas);
        let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        assert_eq!(
            schemas["Event"],
            json!({ "oneOf": [reference("EventRunTakenOver"), reference("EventNote")] })
        );
        assert!(schemas["Data"].is_null() && schemas["DataNote"].is_null(), "{schemas}");
        assert_eq!(schemas["EventNote"]["required"], json!(["type", "seq"]));
        assert_eq!(schemas["EventNote"]["properties"]["seq"]["type"], "integer");
        assert_eq!(schemas["Plain"], json!({ "type": "string" }));
    }
}
