//! Renders the body of a webhook: the finished run without its field `webhook`, in at most 256 KiB.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::runs::{RunView, format_time};

const MAX_BODY_BYTES: usize = 256 * 1024;

/// The body of an attempt at `at`. If the run is too large, fields are left out in a fixed order and named in
/// `omitted`.
#[must_use]
pub fn body(kind: &str, at: DateTime<Utc>, run: &RunView) -> Vec<u8> {
    let mut data = json!(RunView { webhook: None, ..run.clone() });
    let mut omitted: Vec<&str> = Vec::new();
    let render = |data: &Value, omitted: &[&str]| {
        let mut body = json!({ "type": kind, "timestamp": format_time(at), "data": data });
        if !omitted.is_empty() {
            body["omitted"] = json!(omitted);
        }
        body.to_string().into_bytes()
    };
    let mut rendered = render(&data, &omitted);
    if rendered.len() > MAX_BODY_BYTES {
        data["inputs"] = Value::Null;
        omitted.push("inputs");
        rendered = render(&data, &omitted);
    }
    if rendered.len() > MAX_BODY_BYTES
        && let Some(result) = data["result"].as_object_mut()
        && result.remove("data").is_some()
    {
        omitted.push("result.data");
        rendered = render(&data, &omitted);
    }
    if rendered.len() > MAX_BODY_BYTES {
        omitted.push("result.text");
        let text = data["result"]["text"].as_str().unwrap_or_default().to_owned();
        // Escaped text is longer than the text, so the length that fits is found by halving.
        let mut keep = text.len();
        while rendered.len() > MAX_BODY_BYTES && keep > 0 {
            keep = text.floor_char_boundary(keep / 2);
            data["result"]["text"] = json!(text[..keep]);
            rendered = render(&data, &omitted);
        }
    }
    rendered
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::{AppId, RunId};

    fn run(inputs: Value, text: &str) -> RunView {
        RunView {
            id: RunId::generate(),
            title: "t".to_owned(),
            status: "completed".to_owned(),
            app_id: AppId::generate(),
            app_name: "a".to_owned(),
            app_version: 1,
            source: "api".to_owned(),
            api_key: None,
            inputs: Some(inputs),
            chat_model_id: "m".to_owned(),
            webhook_url: None,
            webhook: Some(json!({})),
            files: vec![],
            metadata: json!({}),
            result: Some(json!({"text": text, "artifacts": []})),
            artifacts: vec![],
            error_code: None,
            error: None,
            pending: None,
            usage: json!({}),
            attempt: 1,
            created_at: DateTime::UNIX_EPOCH,
            started_at: None,
            completed_at: None,
            last_seq: 5,
            read_at: DateTime::UNIX_EPOCH,
        }
    }

    fn parsed(run: &RunView) -> Value {
        let body = body("run.completed", DateTime::UNIX_EPOCH, run);
        assert!(body.len() <= MAX_BODY_BYTES);
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn a_small_run_is_whole_and_has_no_webhook_field() {
        let body = parsed(&run(json!({"a": 1}), "done"));
        assert_eq!(body["timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(body["data"]["result"]["text"], "done");
        assert!(body["data"].get("webhook").is_none() && body.get("omitted").is_none());
    }

    #[test]
    fn a_large_run_names_what_is_left_out() {
        let big = "x".repeat(300 * 1024);
        let body = parsed(&run(json!({ "a": big }), "done"));
        assert_eq!((&body["omitted"], &body["data"]["result"]["text"]), (&json!(["inputs"]), &json!("done")));
        let mut with_data = run(json!({ "a": big }), "done");
        with_data.result = Some(json!({"text": "done", "data": big, "artifacts": []}));
        let body = parsed(&with_data);
        assert_eq!(body["omitted"], json!(["inputs", "result.data"]));
        assert_eq!(body["data"]["result"], json!({"text": "done", "artifacts": []}));
        let body = parsed(&run(json!({ "a": big }), &"\"".repeat(300 * 1024)));
        assert_eq!(body["omitted"], json!(["inputs", "result.text"]));
        assert!(body["data"]["result"]["text"].as_str().unwrap().len() > 50_000);
    }
}
