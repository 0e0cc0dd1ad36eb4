//! Examples of bodies and parameters, made of the schemas. A value comes from `examples.json` by the name of
//! its schema and member, from the schema itself, or from `examples.json` by the member's name alone. A test
//! validates each example against its schema. Pure.

use serde_json::{Map, Value, json};

use super::schemas::{items_of, members_of};
use crate::http::problems::Problem;

/// Schemas inside schemas. The schemas of the API are flatter.
const MAX_DEPTH: usize = 12;

struct Examples<'d> {
    schemas: &'d Value,
    known: Map<String, Value>,
}

/// Adds an example to each body and to each text parameter that has none.
pub(super) fn add_examples(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let known = serde_json::from_str(include_str!("examples.json")).unwrap_or_default();
    let examples = Examples { schemas: &schemas, known };
    for section in ["paths", "webhooks"] {
        let items = members_of(document, section).filter_map(Value::as_object_mut);
        for operation in items.flat_map(Map::values_mut) {
            examples.add_to_operation(operation);
        }
    }
    let responses = document.pointer_mut("/components/responses").and_then(Value::as_object_mut);
    for (status, response) in responses.into_iter().flat_map(Map::iter_mut) {
        let problem = Problem::ALL.iter().find(|problem| problem.status().to_string() == *status);
        if let (Some(problem), Some(content)) = (problem, response.get_mut("content")) {
            content["application/problem+json"]["example"] = of_problem(*problem);
        }
    }
}

fn of_problem(problem: Problem) -> Value {
    json!({
        "type": format!("/docs/problems/{}", problem.code()),
        "title": problem.title(),
        "status": problem.status(),
        "detail": problem.meaning(),
        "code": problem.code(),
        "requestId": "01a20dde-f10c-7c51-8f6e-0f4b9a3f2d11",
    })
}

impl Examples<'_> {
    fn add_to_operation(&self, operation: &mut Value) {
        for parameter in items_of(operation, "parameters") {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            if parameter.get("example").is_none()
                && let Some(example) = self.known.get(&format!("parameter.{name}"))
            {
                parameter["example"] = example.clone();
            }
        }
        if let Some(content) = operation.pointer_mut("/requestBody/content") {
            self.add_to_content(content);
        }
        for response in members_of(operation, "responses") {
            if let Some(content) = response.get_mut("content") {
                self.add_to_content(content);
            }
        }
    }

    fn add_to_content(&self, content: &mut Value) {
        for (media_type, body) in content.as_object_mut().into_iter().flat_map(Map::iter_mut) {
            if body.get("example").is_some() {
                continue;
            }
            if media_type == "application/toml" {
                body["example"] = include_str!("../../../../deploy/apps/summarise.toml").into();
            } else if media_type.contains("json") || media_type.starts_with("multipart/") {
                body["example"] = self.of(&body["schema"], "", "", 0);
            }
        }
    }

    /// An example of the schema, which is the member `name` of the schema `owner`.
    fn of(&self, schema: &Value, owner: &str, name: &str, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(known) = self.known.get(&format!("{owner}.{name}")) {
            return known.clone();
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let owner = reference.rsplit('/').next().unwrap_or_default();
            return self.of(&self.schemas[owner], owner, name, depth + 1);
        }
        for given in [&schema["example"], &schema["const"], &schema["examples"][0], &schema["enum"][0]] {
            if !given.is_null() {
                return given.clone();
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let parts = parts.iter().map(|part| self.of(part, owner, name, depth + 1));
            return parts
                .filter_map(|part| part.as_object().cloned())
                .flatten()
                .collect::<Map<_, _>>()
                .into();
        }
        for choice in ["oneOf", "anyOf"] {
            let choices = schema[choice].as_array().into_iter().flatten();
            if let Some(first) = choices.into_iter().find(|choice| choice["type"] != "null") {
                return self.of(first, owner, name, depth + 1);
            }
        }
        self.of_type(schema, owner, name, depth)
    }

    fn of_type(&self, schema: &Value, owner: &str, name: &str, depth: usize) -> Value {
        let is = |kind: &str| {
            let kinds = &schema["type"];
            kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.iter().any(|other| other == kind))
        };
        if let Some(members) = schema["properties"].as_object() {
            let member =
                |(name, schema): (&String, &Value)| (name.clone(), self.of(schema, owner, name, depth + 1));
            let is_file =
                |schema: &Value| schema["format"] == "binary" || schema["items"]["format"] == "binary";
            return members
                .iter()
                .filter(|(_, schema)| !is_file(schema))
                .map(member)
                .collect::<Map<_, _>>()
                .into();
        }
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        if is("array") {
            return json!([self.of(&schema["items"], owner, name, depth + 1)]);
        }
        match schema["format"].as_str() {
            Some("uuid") => json!("01a20dde-ec58-70e9-bad5-b0020aad47b1"),
            Some("date-time") => json!("2026-11-24T14:04:03.033Z"),
            _ if is("object") => json!({}),
            _ if is("boolean") => json!(false),
            _ if is("integer") || is("number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each body with its example, by the name of the operation.
    fn bodies(document: &Value) -> Vec<(String, Value, Value)> {
        let mut found = Vec::new();
        let mut add = |what: &str, content: &Value| {
            for (media_type, body) in content.as_object().into_iter().flatten() {
                if media_type.contains("json") {
                    found.push((
                        format!("{what} {media_type}"),
                        body["schema"].clone(),
                        body["example"].clone(),
                    ));
                }
            }
        };
        for section in ["paths", "webhooks"] {
            for (path, item) in document[section].as_object().unwrap() {
                for (method, operation) in item.as_object().unwrap() {
                    let what = format!("{method} {path}");
                    add(&what, &operation["requestBody"]["content"]);
                    for (status, response) in operation["responses"].as_object().unwrap() {
                        add(&format!("{what} {status}"), &response["content"]);
                    }
                }
            }
        }
        for (status, response) in document["components"]["responses"].as_object().unwrap() {
            add(status, &response["content"]);
        }
        found
    }

    #[test]
    fn every_body_has_an_example_that_its_schema_allows() {
        let document: Value = serde_json::from_str(super::super::document()).unwrap();
        let bodies = bodies(&document);
        assert!(bodies.len() > 30, "{}", bodies.len());
        for (what, mut schema, example) in bodies {
            schema["components"] = document["components"].clone();
            let validator = jsonschema::draft202012::options().build(&schema).unwrap();
            let errors: Vec<_> = validator
                .iter_errors(&example)
                .map(|error| format!("{}: {error}; give it an example", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{what}: {errors:?}");
            assert!(!example.to_string().contains("\"string\""), "{what}: {example}");
        }
    }

    #[test]
    fn every_text_parameter_has_an_example() {
        let document: Value = serde_json::from_str(super::super::document()).unwrap();
        for section in ["paths", "webhooks"] {
            for (path, item) in document[section].as_object().unwrap() {
                for operation in item.as_object().unwrap().values() {
                    for parameter in operation["parameters"].as_array().into_iter().flatten() {
                        let schema = &parameter["schema"];
                        let shows = schema["format"].is_string() || schema["enum"].is_array();
                        let is_text = schema["type"] == "string" && !shows;
                        let has = parameter.get("example").is_some();
                        assert!(
                            has || !is_text,
                            "{path}: the parameter {} has no example",
                            parameter["name"]
                        );
                    }
                }
            }
        }
    }
}
