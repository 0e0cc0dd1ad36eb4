//! The OpenAPI document names every field that the API shows.

use std::collections::BTreeSet;

use bytes::Bytes;
use e2e::{Service, Stack};
use serde_json::Value;
use shared::ids::ArtifactId;

/// A schema, or the schemas that it joins.
fn parts_of<'a>(document: &'a Value, schema: &str) -> Vec<&'a Value> {
    let described = &document["components"]["schemas"][schema];
    let Some(all) = described["allOf"].as_array() else { return vec![described] };
    let resolve = |part: &'a Value| match part["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => part,
    };
    all.iter().map(resolve).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_is_shown_is_documented() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let run = stack.create_run(&gateway, "STATUS-401", Some("http://127.0.0.1:9999/")).await;
    stack.ended(&gateway, &run).await;
    stack
        .add_artifact(run.parse().unwrap(), ArtifactId::generate(), "text/plain", "a", Bytes::from("a"))
        .await;
    let document = stack.get(&gateway, "/api/v1/openapi.json").await.body;
    let run = format!("/api/v1/runs/{run}");
    for (path, pointer, schema) in [
        (run.as_str(), "", "Run"),
        (&run, "/artifacts/0", "Artifact"),
        (&run, "/error", "RunError"),
        (&run, "/usage", "Usage"),
        (&run, "/webhook", "WebhookState"),
        ("/api/v1/webhook-deliveries", "/data/0", "WebhookDelivery"),
        (&run, "/links", "RunLinks"),
        (&format!("{run}/events"), "", "EventPage"),
        ("/api/v1/apps", "/data/0", "App"),
        ("/api/v1/apps", "/data/0/inputs/0", "InputField"),
        ("/api/v1/apps", "/data/0/limits", "Limits"),
        ("/api/v1/models", "/data/0", "Model"),
        ("/api/v1/me", "/key", "Key"),
        ("/api/v1/me", "/limits", "PlanLimits"),
        ("/api/v1/me", "/usage", "AccountUsage"),
        ("/api/v1/me", "/webhooks", "AccountWebhooks"),
        ("/api/v1/runs?limit=0", "", "Problem"),
        ("/api/v1/runs?limit=0", "/errors/0", "FieldProblem"),
    ] {
        let body = stack.get(&gateway, path).await.body;
        let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let shown = names(body.pointer(pointer).unwrap());
        let parts = parts_of(&document, schema);
        let documented: BTreeSet<_> = parts.iter().flat_map(|part| names(&part["properties"])).collect();
        assert!(shown.is_subset(&documented), "{schema}: {shown:?} and {documented:?}");
        let required: Vec<_> =
            parts.iter().flat_map(|part| part["required"].as_array().unwrap().iter()).collect();
        assert!(required.iter().all(|name| shown.contains(name.as_str().unwrap())), "{schema}: {required:?}");
    }
}
