//! The webhooks of the document (OpenAPI 3.1): what a receiver gets, and what it answers. Pure.

use serde_json::{Value, json};

pub(super) fn webhooks() -> Value {
    json!({
        "runEnded": {
            "post": {
                "operationId": "onRunEnded",
                "summary": "A run is over",
                "description": "Sent to the `webhookUrl` of a run that is completed, failed or cancelled. Verify \
                                the signature (Standard Webhooks 1.0) over the bytes of the body before you \
                                read them. The same event may come twice, with the same `webhook-id`. The \
                                docs describe retries and addresses.",
                "tags": ["Webhooks"],
                "security": [],
                "parameters": [
                    header("webhook-id", "The same on every attempt"),
                    header("webhook-timestamp", "Seconds since 1970, of this attempt"),
                    header("webhook-signature", "`v1,` and a signature for each active secret, with spaces"),
                ],
                "requestBody": {
                    "required": true,
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Webhook" } } },
                },
                "responses": {
                    "2XX": { "description": "Received" },
                    "410": { "description": "No further attempts" },
                    "default": { "description": "Not received: capi tries again" },
                },
            },
        },
    })
}

fn header(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "header", "required": true, "description": description,
        "schema": { "type": "string" },
    })
}
