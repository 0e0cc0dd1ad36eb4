//! The body of a create, parsed by hand so that one answer lists every error with its location.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};
use shared::deliveries::WebhookEvent;
use shared::ids::AppId;

use crate::suggestion::{did_you_mean, is_same_name};
use crate::{FieldError, MAX_FIELD_ERRORS, Refusal, quoted};

pub const FIELDS: [&str; 7] =
    ["appId", "inputs", "chatModelId", "webhookUrl", "webhookEvents", "metadata", "queueTimeoutSeconds"];
const QUEUE_TIMEOUT: RangeInclusive<i32> = 1..=604_800;
pub const DEFAULT_QUEUE_TIMEOUT: i32 = 86_400;
pub const MAX_METADATA_PAIRS: usize = 16;
pub const MAX_METADATA_KEY_CHARS: usize = 64;
pub const MAX_METADATA_VALUE_CHARS: usize = 512;

/// The fields of a create, not yet validated against an app.
#[derive(Debug, PartialEq)]
pub struct CreateRequest {
    pub app_id: Option<String>,
    pub inputs: Map<String, Value>,
    pub chat_model_id: Option<String>,
    pub webhook_url: Option<String>,
    /// `None`: the three ends of a run.
    pub webhook_events: Option<Vec<WebhookEvent>>,
    pub metadata: Value,
    pub queue_timeout_seconds: i32,
}

impl CreateRequest {
    /// The members of the JSON body, or of the form parts that stand for them.
    pub fn parse(mut body: Map<String, Value>) -> Result<Self, Refusal> {
        let mut errors = Vec::new();
        for key in body.keys().filter(|key| !FIELDS.contains(&key.as_str())).take(MAX_FIELD_ERRORS) {
            let key = quoted(key);
            let meant =
                elsewhere(&key).map_or_else(|| did_you_mean(&key, FIELDS), |place| format!(" ({place})"));
            let message = format!("unknown field {key:?}{meant}; known are: {}", FIELDS.join(", "));
            errors.push(FieldError::member("", &key, "unknown", message));
        }
        let app_id = text(&mut body, "appId", &mut errors);
        let chat_model_id = text(&mut body, "chatModelId", &mut errors);
        let webhook_url = text(&mut body, "webhookUrl", &mut errors);
        let webhook_events = webhook_events(&mut body, webhook_url.is_some(), &mut errors);
        let queue_timeout_seconds = queue_timeout(&mut body, &mut errors);
        let mut object = |name: &str| match body.remove(name) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(members)) => members,
            Some(_) => {
                errors.push(FieldError::new(format!("/{name}"), "type", format!("{name} must be an object")));
                Map::new()
            }
        };
        let (inputs, metadata) = (object("inputs"), object("metadata"));
        errors.extend(wrong_metadata(&metadata));
        Refusal::unless_empty(errors)?;
        let metadata = Value::Object(metadata);
        Ok(Self {
            app_id,
            inputs,
            chat_model_id,
            webhook_url,
            webhook_events,
            metadata,
            queue_timeout_seconds,
        })
    }

    /// The parsed fields, which an idempotency key stands for. `files` is null without files.
    #[must_use]
    pub fn fields(&self, app: AppId, files: Value) -> Value {
        let mut fields = json!({
            "appId": app, "inputs": self.inputs, "chatModelId": self.chat_model_id,
            "webhookUrl": self.webhook_url, "metadata": self.metadata,
            "queueTimeoutSeconds": self.queue_timeout_seconds,
        });
        // Only if it is there: keys that former versions stored stay the same.
        if let Some(events) = &self.webhook_events {
            fields["webhookEvents"] = json!(events);
        }
        if !files.is_null() {
            fields["files"] = files;
        }
        fields
    }
}

/// Where a name belongs that is no field of a create.
fn elsewhere(name: &str) -> Option<&'static str> {
    const PLACES: [(&str, &str); 6] = [
        ("wait", "send it as the header `Prefer: wait=5`"),
        ("prefer", "send it as the header `Prefer: wait=5`"),
        ("idempotencyKey", "send it as the header Idempotency-Key"),
        ("dryRun", "send it in the query: ?dryRun=true"),
        ("files", "send files as parts of multipart/form-data"),
        ("file", "send files as parts of multipart/form-data"),
    ];
    PLACES.iter().find(|(misplaced, _)| is_same_name(name, misplaced)).map(|(_, place)| *place)
}

fn wrong_metadata(metadata: &Map<String, Value>) -> Option<FieldError> {
    if metadata.len() > MAX_METADATA_PAIRS {
        let message = format!("metadata may have {MAX_METADATA_PAIRS} pairs at most");
        return Some(FieldError::new("/metadata", "too_many", message));
    }
    let fits = |(key, value): &(&String, &Value)| {
        key.chars().count() <= MAX_METADATA_KEY_CHARS
            && value.as_str().is_some_and(|value| value.chars().count() <= MAX_METADATA_VALUE_CHARS)
    };
    metadata.iter().find(|pair| !fits(pair)).map(|(key, _)| {
        let key = quoted(key);
        let message = format!(
            "metadata {key:?} does not fit: values must be strings, keys of {MAX_METADATA_KEY_CHARS} and \
             values of {MAX_METADATA_VALUE_CHARS} characters at most"
        );
        FieldError::member("/metadata", &key, "type", message)
    })
}

fn webhook_events(
    body: &mut Map<String, Value>,
    has_url: bool,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<WebhookEvent>> {
    const AT: &str = "/webhookEvents";
    let names = WebhookEvent::ALL.map(WebhookEvent::as_str).join(", ");
    let given = match body.remove("webhookEvents")? {
        Value::Null => return None,
        Value::Array(given) => given,
        _ => {
            let message = format!("webhookEvents must be a list of: {names}");
            errors.push(FieldError::new(AT, "type", message));
            return None;
        }
    };
    if !has_url {
        let message = "webhookEvents needs webhookUrl, where the events are sent";
        errors.push(FieldError::new(AT, "unsupported", message));
    }
    if given.is_empty() {
        let message = format!("webhookEvents is empty; leave it out, or list some of: {names}");
        errors.push(FieldError::new(AT, "required", message));
    }
    let mut events: Vec<WebhookEvent> = Vec::new();
    for (at, value) in given.iter().enumerate().take(MAX_FIELD_ERRORS) {
        match value.as_str().and_then(|text| text.parse().ok()) {
            Some(event) if events.contains(&event) => {
                let message = format!("webhookEvents lists {:?} twice", event.as_str());
                errors.push(FieldError::new(format!("{AT}/{at}"), "duplicate", message));
            }
            Some(event) => events.push(event),
            None => {
                let given = quoted(&value.to_string());
                let message = format!("{given} is no event of webhooks; known are: {names}");
                errors.push(FieldError::new(format!("{AT}/{at}"), "unknown", message));
            }
        }
    }
    Some(events)
}

fn queue_timeout(body: &mut Map<String, Value>, errors: &mut Vec<FieldError>) -> i32 {
    let Some(value) = body.remove("queueTimeoutSeconds").filter(|value| !value.is_null()) else {
        return DEFAULT_QUEUE_TIMEOUT;
    };
    // JSON has one number type: 60.0 is the whole number 60.
    let whole =
        value.as_i64().or_else(|| value.as_f64().filter(|number| number.fract() == 0.0).and_then(as_i64));
    let fits =
        whole.and_then(|whole| i32::try_from(whole).ok()).filter(|whole| QUEUE_TIMEOUT.contains(whole));
    fits.unwrap_or_else(|| {
        let (least, most) = (QUEUE_TIMEOUT.start(), QUEUE_TIMEOUT.end());
        let message = format!("queueTimeoutSeconds must be a whole number from {least} to {most}");
        errors.push(FieldError::new("/queueTimeoutSeconds", "range", message));
        DEFAULT_QUEUE_TIMEOUT
    })
}

#[expect(clippy::cast_possible_truncation, reason = "within i32 by the check")]
fn as_i64(number: f64) -> Option<i64> {
    (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number).then_some(number as i64)
}

fn text(body: &mut Map<String, Value>, name: &str, errors: &mut Vec<FieldError>) -> Option<String> {
    match body.remove(name)? {
        Value::Null => None,
        // Many clients send a field that is not filled in as an empty text.
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        _ => {
            errors.push(FieldError::new(format!("/{name}"), "type", format!("{name} must be a string")));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_names_each_once() {
        let parse = |body: Value| CreateRequest::parse(body.as_object().unwrap().clone());
        let url = "https://example.com/";
        let good = json!({"webhookUrl": url, "webhookEvents": ["run.artifact", "run.failed"]});
        let events = parse(good).unwrap().webhook_events.unwrap();
        assert_eq!(events, [WebhookEvent::RunArtifact, WebhookEvent::RunFailed]);
        assert_eq!(parse(json!({"webhookUrl": url, "webhookEvents": null})).unwrap().webhook_events, None);
        for (body, says) in [
            (json!({"webhookUrl": url, "webhookEvents": []}), "is empty"),
            (json!({"webhookUrl": url, "webhookEvents": "run.failed"}), "must be a list"),
            (json!({"webhookUrl": url, "webhookEvents": ["run.over"]}), "\"run.over\" is no event"),
            (json!({"webhookUrl": url, "webhookEvents": [1]}), "1 is no event"),
            (json!({"webhookUrl": url, "webhookEvents": ["ping"]}), "\"ping\" is no event"),
            (json!({"webhookUrl": url, "webhookEvents": ["run.failed", "run.failed"]}), "twice"),
            (json!({"webhookEvents": ["run.failed"]}), "needs webhookUrl"),
        ] {
            let Err(Refusal::InvalidRequest(detail, _)) = parse(body) else { panic!("{says}") };
            assert!(detail.contains(says), "{says}: {detail}");
        }
    }

    #[test]
    fn one_answer_lists_all_errors() {
        let parse = |body: Value| CreateRequest::parse(body.as_object().unwrap().clone());
        assert_eq!(parse(json!({"appId": "a", "inputs": null})).unwrap().app_id.as_deref(), Some("a"));
        let error = parse(json!({
            "appId": 1, "inputs": [], "metadata": {"a": 1}, "colour": "red", "queueTimeoutSeconds": 1.5,
        }))
        .unwrap_err();
        let Refusal::InvalidRequest(_, errors) = error else { panic!("{error:?}") };
        let found: Vec<_> =
            errors.iter().map(|error| (json!(error.location)["pointer"].clone(), error.code)).collect();
        assert_eq!(
            found,
            [
                ("/colour".into(), "unknown"),
                ("/appId".into(), "type"),
                ("/queueTimeoutSeconds".into(), "range"),
                ("/inputs".into(), "type"),
                ("/metadata/a".into(), "type"),
            ]
        );
        let empty = parse(json!({"appId": "", "webhookUrl": "", "chatModelId": ""})).unwrap();
        assert_eq!((empty.app_id, empty.webhook_url, empty.chat_model_id), (None, None, None));
        for (name, said) in [
            ("webhook_url", "did you mean \"webhookUrl\"?"),
            ("input", "did you mean \"inputs\"?"),
            ("dry_run", "?dryRun=true"),
            ("Idempotency-Key", "header Idempotency-Key"),
            ("wait", "Prefer: wait=5"),
            ("colour", "unknown field \"colour\"; known are"),
        ] {
            let refused = format!("{:?}", parse(json!({name: 1})).unwrap_err());
            assert!(refused.replace('\\', "").contains(said), "{name}: {refused}");
        }
        assert_eq!(parse(json!({"queueTimeoutSeconds": 60.0})).unwrap().queue_timeout_seconds, 60);
        for wrong in [json!(0), json!(604_801), json!("60"), json!(1e300)] {
            assert!(parse(json!({"queueTimeoutSeconds": wrong})).is_err());
        }
    }
}
