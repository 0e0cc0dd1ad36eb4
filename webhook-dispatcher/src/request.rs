//! The body of a webhook: the run, without `webhook`, in at most 256 KiB. Pure.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::db::Json;
use shared::deliveries::{PING, PingBody, PingData, WebhookBody, WebhookEvent};
use shared::ids::ArtifactId;
use shared::runs::{RunStatus, RunView, Webhook};
use shared::time::Time;

/// Bytes of a body.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The body of a test that was asked for at `at`.
pub fn ping(at: DateTime<Utc>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&PingBody { r#type: PING, timestamp: Time(at), data: PingData {} })
}

/// The body of all attempts, for an event at the time `at`. What does not fit is left out in a fixed order
/// and named in `omitted`.
/// `artifact` is the artifact whose event this is.
pub fn body(
    kind: &str,
    at: DateTime<Utc>,
    run: RunView,
    artifact: Option<ArtifactId>,
) -> serde_json::Result<Vec<u8>> {
    let artifact = artifact.and_then(|id| run.artifacts.iter().find(|shown| shown.0.id == id));
    let artifact = artifact.map(|shown| shown.0.clone());
    let data = if kind == WebhookEvent::RunStarted.as_str() { as_started(run) } else { run };
    let data = RunView { webhook: Json(Webhook::LeftOut), ..data };
    let mut body = WebhookBody { r#type: kind, timestamp: Time(at), data, artifact, omitted: Vec::new() };
    let mut rendered = serde_json::to_vec(&body)?;
    if rendered.len() > MAX_BODY_BYTES {
        body.data.inputs = Some(Value::Null);
        body.omitted.push("inputs");
        rendered = serde_json::to_vec(&body)?;
    }
    if rendered.len() > MAX_BODY_BYTES
        && let Some(Json(result)) = &mut body.data.result
        && !std::mem::take(&mut result.sources).is_empty()
    {
        body.omitted.push("result.sources");
        rendered = serde_json::to_vec(&body)?;
    }
    if rendered.len() > MAX_BODY_BYTES
        && let Some(Json(result)) = &mut body.data.result
        && result.data.take().is_some()
    {
        body.omitted.push("result.data");
        rendered = serde_json::to_vec(&body)?;
    }
    if rendered.len() > MAX_BODY_BYTES
        && let Some(text) = body.data.result.as_ref().map(|Json(result)| result.text.clone())
    {
        body.omitted.push("result.text");
        // Escaping makes JSON longer than its text, so the length is found by halving.
        let mut keep = text.len();
        while rendered.len() > MAX_BODY_BYTES && keep > 0 {
            keep = text.floor_char_boundary(keep / 2);
            if let Some(Json(result)) = &mut body.data.result {
                text[..keep].clone_into(&mut result.text);
            }
            rendered = serde_json::to_vec(&body)?;
        }
    }
    Ok(rendered)
}

/// The run as it was when a worker started it. A late attempt finds it further on.
fn as_started(run: RunView) -> RunView {
    RunView {
        status: RunStatus::Running,
        result: None,
        artifacts: vec![],
        error_code: None,
        error: None,
        usage: Json::default(),
        contacted_hosts: vec![],
        attempt: 1,
        completed_at: None,
        ..run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::ids::{AppId, RunId};
    use shared::runs::{RunLinks, ShownArtifact, ShownResult, ShownSource, Source};

    fn run(inputs: Value, text: &str) -> RunView {
        RunView {
            id: RunId::generate(),
            title: "t".to_owned(),
            status: RunStatus::Completed,
            app_id: AppId::generate(),
            app_name: "a".to_owned(),
            app_version: 1,
            source: Source::Api.as_str().to_owned(),
            api_key: None,
            inputs: Some(inputs),
            chat_model_id: "m".to_owned(),
            webhook_url: None,
            webhook: Json(Webhook::None),
            webhook_events: None,
            files: vec![],
            metadata: Json::default(),
            result: Some(Json(ShownResult { text: text.to_owned(), ..ShownResult::default() })),
            artifacts: vec![],
            error_code: None,
            error: None,
            pending: None,
            usage: Json::default(),
            contacted_hosts: vec![],
            attempt: 1,
            created_at: Time::default(),
            started_at: None,
            completed_at: None,
            links: RunLinks::default(),
            last_seq: 5,
            read_at: DateTime::UNIX_EPOCH,
        }
    }

    fn parsed(run: RunView) -> Value {
        parsed_as("run.completed", run, None)
    }

    fn parsed_as(kind: &str, run: RunView, artifact: Option<ArtifactId>) -> Value {
        let body = body(kind, DateTime::UNIX_EPOCH, run, artifact).unwrap();
        assert!(body.len() <= MAX_BODY_BYTES);
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn a_small_run_is_whole_and_has_no_webhook_field() {
        let body = parsed(run(json!({"a": 1}), "done"));
        assert_eq!(body["timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(body["data"]["result"]["text"], "done");
        assert!(body["data"].get("webhook").is_none() && body.get("omitted").is_none());
    }

    #[test]
    fn a_large_run_names_what_is_left_out() {
        let big = "x".repeat(300 * 1024);
        let body = parsed(run(json!({ "a": big }), "done"));
        assert_eq!((&body["omitted"], &body["data"]["result"]["text"]), (&json!(["inputs"]), &json!("done")));
        let mut with_data = run(json!({ "a": big }), "done");
        let result =
            ShownResult { text: "done".to_owned(), data: Some(json!(big)), ..ShownResult::default() };
        with_data.result = Some(Json(result));
        let body = parsed(with_data);
        assert_eq!(body["omitted"], json!(["inputs", "result.data"]));
        assert_eq!(body["data"]["result"], json!({"text": "done", "artifacts": []}));
        let body = parsed(run(json!({ "a": big }), &"\"".repeat(300 * 1024)));
        assert_eq!(body["omitted"], json!(["inputs", "result.text"]));
        assert!(body["data"]["result"]["text"].as_str().unwrap().len() > 50_000);
    }

    #[test]
    fn sources_are_left_out_before_the_result_itself() {
        let source = ShownSource {
            id: 1,
            url: format!("https://e.org/{}", "x".repeat(2000)),
            title: "E".to_owned(),
            how: "read".to_owned(),
        };
        let with_sources = |number: usize| {
            let mut run = run(json!({}), "done [1]");
            if let Some(Json(result)) = &mut run.result {
                result.sources = vec![source.clone(); number];
                result.data = Some(json!(1));
            }
            parsed(run)
        };
        let few = with_sources(2);
        assert_eq!(few["data"]["result"]["sources"][1]["how"], "read");
        assert!(few.get("omitted").is_none(), "{few}");
        let many = with_sources(300);
        assert_eq!(many["omitted"], json!(["inputs", "result.sources"]));
        assert_eq!(many["data"]["result"], json!({"text": "done [1]", "data": 1, "artifacts": []}));
    }

    #[test]
    fn an_event_that_is_sent_late_shows_the_start_of_the_run() {
        let body = parsed_as("run.started", run(json!({"a": 1}), "done"), None);
        let data = &body["data"];
        assert_eq!((&data["status"], &data["inputs"]), (&json!("running"), &json!({"a": 1})));
        assert!(data["result"].is_null() && data["completedAt"].is_null(), "{body}");
    }

    #[test]
    fn an_artifact_is_beside_its_run() {
        let (id, mut run) = (ArtifactId::generate(), run(json!({}), "done"));
        for id in [ArtifactId::generate(), id] {
            let stored = json!({"id": id, "type": "text/plain", "title": "a", "size": 1, "sha256": ""});
            run.artifacts.push(Json(serde_json::from_value::<ShownArtifact>(stored).unwrap()));
        }
        let body = parsed_as("run.artifact", run.clone(), Some(id));
        assert_eq!(body["artifact"]["id"], id.to_string());
        assert_eq!(body["data"]["artifacts"].as_array().map(Vec::len), Some(2));
        assert!(parsed(run).get("artifact").is_none());
    }

    #[test]
    fn a_test_has_no_run() {
        let body: Value = serde_json::from_slice(&ping(DateTime::UNIX_EPOCH).unwrap()).unwrap();
        assert_eq!(body, json!({"type": "ping", "timestamp": "1970-01-01T00:00:00.000Z", "data": {}}));
    }
}
