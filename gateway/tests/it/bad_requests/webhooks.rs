//! Wrong requests about webhooks: the events of a create, tests and deliveries.

use reqwest::Method;
use serde_json::{Value, json};

use super::{INVALID, Table, UNKNOWN_ID, URL};

pub(super) fn cases(table: &mut Table<'_>) {
    let app = table.stack.app;
    let create = |events: Value| {
        let url = "https://example.com/";
        json!({"appId": app, "inputs": {"text": "x"}, "webhookUrl": url, "webhookEvents": events})
    };
    table.json("no events", &create(json!([])), INVALID, "webhookEvents is empty");
    table.json("events of another type", &create(json!("run.failed")), INVALID, "must be a list of");
    table.json("an unknown event", &create(json!(["run.over"])), INVALID, "\"run.over\" is no event");
    table.json("an event twice", &create(json!(["run.failed", "run.failed"])), INVALID, "twice");
    let alone = json!({"appId": app, "inputs": {"text": "x"}, "webhookEvents": ["run.failed"]});
    table.json("events without a URL", &alone, INVALID, "needs webhookUrl");
    for (body, expected, says) in [
        (json!({}), INVALID, "url is missing"),
        (json!({"url": 1}), INVALID, "url must be a string"),
        (json!({"url": "https://example.com/", "to": 1}), INVALID, "unknown field \"to\""),
        (json!({"url": "hook"}), URL, "url is not a URL"),
        (json!({"url": "http://10.0.0.1/"}), URL, "not a public address"),
    ] {
        let request = table.request(Method::POST, "/api/v1/webhooks/test").bearer_auth(&table.stack.key);
        table.case(body.to_string(), request.json(&body), expected.0, expected.1, says);
    }
    let list = "/api/v1/webhook-deliveries";
    table.get(&format!("{list}?status=done"), 400, "invalid_request", "pending, retrying, delivered, failed");
    table.get(&format!("{list}?runId=x"), 400, "invalid_request", "run's id");
    table.get(&format!("{list}?createdAfter=x"), 400, "invalid_request", "RFC 3339");
    table.get(&format!("{list}?cursor=bogus"), 400, "invalid_request", "nextCursor");
    table.get(&format!("{list}?appId=x"), 400, "invalid_request", "unknown parameter");
    table.get(&format!("{list}/x"), 404, "not_found", "no such delivery");
    table.get(&format!("{list}/{UNKNOWN_ID}"), 404, "not_found", "no such delivery");
    let again = table.request(Method::POST, &format!("{list}/{UNKNOWN_ID}/redeliver"));
    table.case("unknown delivery", again.bearer_auth(&table.stack.key), 404, "not_found", "no such delivery");
}
