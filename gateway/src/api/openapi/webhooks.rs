//! The webhooks of the document (OpenAPI 3.1): what a receiver gets, and what it answers. Pure.

use serde_json::{Value, json};

pub(super) fn webhooks() -> Value {
    let of_run = "Sent to the `webhookUrl` of a run at each event that its `webhookEvents` list. Verify \
                  the signature (Standard Webhooks 1.0) over the bytes of the body before you read them. The \
                  same event may come twice, with the same `webhook-id`.";
    let ping = "Sent by POST /api/v1/webhooks/test and by the console: once, and signed like every webhook.";
    json!({
        "runEvent": { "post": operation("onRunEvent", "An event of a run", of_run, "Webhook") },
        "ping": { "post": operation("onPing", "A test", ping, "WebhookPing") },
    })
}

fn operation(id: &str, summary: &str, description: &str, schema: &str) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "description": description,
        "tags": ["Webhooks"],
        "security": [],
        "parameters": [
            header("webhook-id", "The same on every attempt"),
            header("webhook-timestamp", "Seconds since 1970, of this attempt"),
            header("webhook-signature", "`v1,` and a signature for each active secret, with spaces between"),
        ],
        "requestBody": {
            "required": true,
            "content": {
                "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } }
            },
        },
        "responses": {
            "2XX": { "description": "Received" },
            "410": { "description": "No further attempts" },
            "default": { "description": "Not received: capi tries again" },
        },
    })
}

fn header(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "header", "required": true, "description": description,
        "schema": { "type": "string" },
    })
}
