//! The body of a create, read by hand so that every mistake is named at once, with its place.

use serde_json::{Map, Value};

use crate::error::{ApiError, FieldError};

const FIELDS: [&str; 5] = ["appId", "inputs", "chatModelId", "webhookUrl", "metadata"];
const MAX_METADATA_PAIRS: usize = 16;
const MAX_METADATA_KEY_CHARS: usize = 64;
const MAX_METADATA_VALUE_CHARS: usize = 512;

/// The fields as they came; not yet judged against any app.
#[derive(Debug, Default, PartialEq)]
pub(super) struct CreateRequest {
    pub(super) app_id: Option<String>,
    pub(super) inputs: Map<String, Value>,
    pub(super) chat_model_id: Option<String>,
    pub(super) webhook_url: Option<String>,
    pub(super) metadata: Value,
}

impl CreateRequest {
    pub(super) fn parse(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let unknown: Vec<_> = body.keys().filter(|key| !FIELDS.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            let message = format!("unknown field {key:?}; known are: {}", FIELDS.join(", "));
            errors.push(FieldError::new(
                format!("/{}", key.replace('~', "~0").replace('/', "~1")),
                "unknown",
                message,
            ));
        }
        let app_id = text(&mut body, "appId", &mut errors);
        let chat_model_id = text(&mut body, "chatModelId", &mut errors);
        let webhook_url = text(&mut body, "webhookUrl", &mut errors);
        let mut object = |name: &str| match body.remove(name) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(members)) => members,
            Some(_) => {
                errors.push(FieldError::new(format!("/{name}"), "type", format!("{name} must be an object")));
                Map::new()
            }
        };
        let (inputs, metadata) = (object("inputs"), object("metadata"));
        if metadata.len() > MAX_METADATA_PAIRS {
            errors.push(FieldError::new(
                "/metadata",
                "too_many",
                format!("metadata may have {MAX_METADATA_PAIRS} pairs at most"),
            ));
        }
        for (key, value) in &metadata {
            let fits = key.chars().count() <= MAX_METADATA_KEY_CHARS
                && value.as_str().is_some_and(|value| value.chars().count() <= MAX_METADATA_VALUE_CHARS);
            if !fits {
                let message = format!(
                    "metadata must be strings, keys of {MAX_METADATA_KEY_CHARS} and values of {MAX_METADATA_VALUE_CHARS} characters at most"
                );
                errors.push(FieldError::new("/metadata", "type", message));
                break;
            }
        }
        if errors.is_empty() {
            Ok(Self { app_id, inputs, chat_model_id, webhook_url, metadata: Value::Object(metadata) })
        } else {
            let detail: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
            Err(ApiError::InvalidRequest(detail.join("; "), errors))
        }
    }
}

fn text(body: &mut Map<String, Value>, name: &str, errors: &mut Vec<FieldError>) -> Option<String> {
    match body.remove(name)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        _ => {
            errors.push(FieldError::new(format!("/{name}"), "type", format!("{name} must be a string")));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_mistakes_are_named_at_once() {
        let parse = |body: Value| CreateRequest::parse(body.as_object().unwrap().clone());
        assert_eq!(parse(json!({"appId": "a", "inputs": null})).unwrap().app_id.as_deref(), Some("a"));
        let error =
            parse(json!({"appId": 1, "inputs": [], "metadata": {"a": 1}, "colour": "red"})).unwrap_err();
        let ApiError::InvalidRequest(_, errors) = error else { panic!("{error}") };
        let found: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.code)).collect();
        assert_eq!(
            found,
            [("/colour", "unknown"), ("/appId", "type"), ("/inputs", "type"), ("/metadata", "type")]
        );
    }
}
