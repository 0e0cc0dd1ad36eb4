//! No key reaches what belongs to another account (K8). The test tries every line of the route table. A new
//! route without an owner check fails here, and so does one with a parameter that this test does not know.
//! console/access.rs does the same for sessions.

use bytes::Bytes;
use e2e::{Account, Answer, Gateway, Stack};
use gateway::endpoints;
use gateway::http::endpoint::Endpoint;
use serde_json::json;
use shared::ids::ArtifactId;

use crate::app::TestApp;

const UNKNOWN_ID: &str = "0197f7a0-0000-7000-8000-000000000000";

/// What the other account has, by the table's parameter names.
struct OwnedIds {
    app: String,
    run: String,
    artifact: String,
    delivery: String,
}

impl OwnedIds {
    fn fill(&self, path: &str) -> String {
        let filled = path
            .replace("{appId}", &self.app)
            .replace("{id}", &self.run)
            .replace("{artifactId}", &self.artifact)
            .replace("{deliveryId}", &self.delivery);
        assert!(!filled.contains('{'), "{path}: give this test something of the other account's to ask for");
        filled
    }

    fn unknown() -> Self {
        let unknown = || UNKNOWN_ID.to_owned();
        Self { app: unknown(), run: unknown(), artifact: unknown(), delivery: unknown() }
    }
}

async fn call(stack: &Stack, gateway: &TestApp, endpoint: &Endpoint, path: &str, key: &str) -> Answer {
    let method = endpoint.method.as_str().parse().unwrap();
    let request = stack.client().request(method, format!("{}{path}", gateway.url())).bearer_auth(key);
    let has_body = ["POST", "PUT"].contains(&endpoint.method.as_str());
    stack.send(if has_body { request.json(&json!({"inputs": {"text": "x"}})) } else { request }).await
}

/// A delivery that its owner could send again.
async fn ended_delivery(stack: &Stack, gateway: &TestApp) -> String {
    let run = stack.create_run(gateway, "secret of ada", Some("http://127.0.0.1:9999/")).await;
    stack.cancel_run(gateway, &run).await;
    stack.database.run_sql("UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL").await;
    stack.text("SELECT id::text AS text FROM webhook_deliveries").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_keeps_to_its_owner() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let bob: Account = stack.account("bob@example.com", "big").await;
    let bobs_key = stack.create_key_with_all_scopes(&bob.email).await;
    let run = stack.create_run(&gateway, "secret of ada", None).await;
    let artifact = ArtifactId::generate();
    stack.add_artifact(run.parse().unwrap(), artifact, "text/plain", "a.txt", Bytes::from("secret")).await;
    let adas = OwnedIds {
        app: stack.app.to_string(),
        run: run.clone(),
        artifact: artifact.to_string(),
        delivery: ended_delivery(&stack, &gateway).await,
    };
    let mut tried = 0;
    for endpoint in endpoints().iter().filter(|endpoint| endpoint.takes_key()) {
        let what = format!("{} {}", endpoint.method, endpoint.path);
        let asked = call(&stack, &gateway, endpoint, &adas.fill(endpoint.path), &bobs_key).await;
        if endpoint.path.contains('{') {
            tried += 1;
            assert_eq!(asked.status, 404, "{what}: {asked:?}");
            let unknown = OwnedIds::unknown().fill(endpoint.path);
            let unknown = call(&stack, &gateway, endpoint, &unknown, &bobs_key).await;
            assert_eq!(asked.status, unknown.status, "{what}");
            assert_eq!(asked.without_request_id(), unknown.without_request_id(), "{what}");
        }
        let shown = asked.body.to_string();
        for id in [&adas.app, &adas.run, &adas.artifact, &adas.delivery] {
            assert!(!shown.contains(id.as_str()), "{what} shows {id}");
        }
        let keyless = stack
            .send(stack.client().request(
                endpoint.method.as_str().parse().unwrap(),
                format!("{}{}", gateway.url(), adas.fill(endpoint.path)),
            ))
            .await;
        assert_eq!(keyless.status, 401, "{what} without a key");
    }
    assert!(tried > 8, "the table is read");
    let body = json!({"appId": adas.app, "inputs": {"text": "x"}});
    let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&bob.key);
    assert_eq!(stack.send(request.json(&body)).await.status, 404, "another's app in the body");
    let still = stack.get(&gateway, &format!("/api/v1/runs/{run}")).await;
    assert_eq!(still.body["status"], "pending", "nothing of all that changed anything: {still:?}");
    let app = stack.get(&gateway, &format!("/api/v1/apps/{}", stack.app)).await.body;
    assert_eq!((&app["version"], &app["archived"]), (&json!(1), &json!(false)));
}
