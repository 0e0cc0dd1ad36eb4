//! Quotas and ceilings in the parts that the gateway's own tests do not reach: the worker and the commands.

use e2e::console::EMAIL;
use e2e::{Service, Stack};
use serde_json::json;

const PLAN: &str = "[plans.small]\napi = true\nrequests_per_minute = 1000\napi_keys = 5\nrunning_runs = 5\n\
                    max_stored_bytes = 100\nmax_tokens_per_day = 50\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_storage_is_told_to_the_model_and_used_tokens_stop_creates() {
    let stack = Stack::create("small", PLAN).await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools("").await;
    let save = |bytes: usize| {
        let content = "x".repeat(bytes);
        json!(["save_artifact", json!({"title": "a.txt", "content": content}).to_string()])
    };
    let script = json!([{"say": "Saving.", "call": [save(60), save(41)]}, {"say": "Done."}]);
    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
    assert_eq!(
        (&run["status"], run["artifacts"].as_array().unwrap().len()),
        (&"completed".into(), 1),
        "{run}"
    );
    let told = stack.model.asked()[1].1["messages"].as_array().unwrap().last().unwrap().clone();
    assert!(told["content"].as_str().unwrap().contains("storage is full"), "{told}");
    let me = stack.get(&gateway, "/api/v1/me").await.body;
    // Two answers of 11 + 7 tokens.
    assert_eq!((&me["usage"]["storedBytes"], &me["usage"]["tokensToday"]), (&60.into(), &36.into()), "{me}");

    stack.run_app(&gateway, &app, "SCRIPT [{\"say\": \"Once more.\"}]", &json!({})).await;
    let body = json!({"appId": app, "inputs": {"text": "x"}});
    let refused = stack.post(&gateway, "/api/v1/runs", &body).await;
    assert_eq!((refused.status, &refused.body["quota"]), (409, &"maxTokensPerDay".into()), "{refused:?}");
    assert_eq!(refused.body["used"], 54);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_above_the_ceilings_of_the_plan_names_the_field() {
    let stack = Stack::create("pro", "").await;
    stack.set_plan(EMAIL, "free").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let import = ["app", "import", &file.path().display().to_string(), "--email", EMAIL];
    std::fs::write(file.path(), "name = 'A'\nprompt = 'x'\nlimits = { steps = 51, seconds = 901 }").unwrap();
    let (_, said, good) = stack.try_cli(&import, "").await;
    assert!(!good && said.contains("limits.steps must be at most 50 on the plan free"), "{said}");
    assert!(said.contains("limits.seconds must be at most 900 on the plan free"), "{said}");
    std::fs::write(file.path(), "name = 'A'\nprompt = 'x'\nlimits = { steps = 50 }").unwrap();
    stack.cli(&import, "").await;
}
