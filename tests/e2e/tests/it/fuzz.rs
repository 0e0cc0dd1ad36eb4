//! Schemathesis over the OpenAPI document: no answer is a 500, none has a status, header or shape that the
//! document does not have. Once with whatever ids it makes up, once with ids that exist.

use bytes::Bytes;
use e2e::accounts::EMAIL;
use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::ids::ArtifactId;
use tokio::process::Command;

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,\
                      allow_header_conformance,ignored_auth,seldom_unavailable";

/// Without a dispatcher its answer is 503, and with one it would send to addresses that are made up.
const SENDS: &str = "testWebhook";

/// A busy gateway may answer 503, which each operation documents. `seldom_unavailable` bounds how often.
const BUSY: &str = "[checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", 503]\n";

/// Few examples, always the same ones; `make fuzz` asks for more, and other ones each time.
fn budget() -> Vec<String> {
    match std::env::var("CAPI_FUZZ_EXAMPLES") {
        Ok(examples) => {
            ["--max-examples", &examples, "--generation-database", "none"].map(str::to_owned).to_vec()
        }
        Err(_) => ["--max-examples", "10", "--generation-deterministic"].map(str::to_owned).to_vec(),
    }
}

async fn run(gateway: &Process, key: &str, configuration: &str) {
    let program = std::env::var("CAPI_SCHEMATHESIS").unwrap_or_else(|_| {
        panic!("CAPI_SCHEMATHESIS is not set; run the tests through `make test` or `make fuzz`")
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("schemathesis.toml");
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/hooks.py");
    std::fs::write(&file, format!("hooks = {hooks:?}\n{configuration}\n{BUSY}")).unwrap();
    let output = Command::new(program)
        .arg("--config-file")
        .arg(file)
        .args(["--no-color", "run", &format!("{}/api/v1/openapi.json", gateway.url())])
        .args(["--checks", CHECKS, "--header", &format!("Authorization: Bearer {key}")])
        .args(budget())
        .args(["--request-timeout", "20", "--warnings", "off"])
        .current_dir(dir.path())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("passed"), "something was tried: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_that_is_not_in_the_document() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    // Ended in every way, so that all shapes are seen.
    let id = stack.create_run(&gateway, "hello", Some("http://127.0.0.1:9999/")).await;
    let ended = stack.ended(&gateway, &id).await;
    let failed = stack.create_run(&gateway, "STATUS-401", None).await;
    stack.ended(&gateway, &failed).await;
    let artifact = ArtifactId::generate();
    stack.add_artifact(id.parse().unwrap(), artifact, "text/plain", "a", Bytes::from("abc")).await;
    let key = stack.create_key_with_all_scopes(EMAIL).await;
    let off = |name: &&str| format!("[[operations]]\ninclude-operation-id = \"{name}\"\nenabled = false\n");
    run(&gateway, &key, &off(&SENDS)).await;
    let ids = json!({
        "path.id": id, "path.appId": stack.app, "path.artifactId": artifact,
        "path.deliveryId": ended["webhook"]["deliveryId"],
    });
    let known: Vec<_> =
        ids.as_object().unwrap().iter().map(|(name, value)| format!("\"{name}\" = {value}")).collect();
    let known = known.join("\n");
    // The run and the app must stay.
    let keep: String = ["deleteRun", "archiveApp", SENDS].iter().map(off).collect();
    run(&gateway, &key, &format!("[parameters]\n{known}\n{keep}")).await;
    gateway.becomes_ready().await;
}
