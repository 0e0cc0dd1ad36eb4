//! The sample apps of deploy/apps can be imported, and do what they say.

use e2e::{Service, Stack};
use serde_json::{Value, json};
use shared::testing::PageServer;

async fn import(stack: &Stack, name: &str) -> String {
    let path = format!("{}/../../deploy/apps/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    stack.import(&std::fs::read_to_string(path).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_apps_do_what_they_say() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let pages = PageServer::start().await;
    let run = async |app: &str, inputs: Value| {
        let answer =
            stack.post(&gateway, &format!("/api/v1/apps/{app}/runs"), &json!({"inputs": inputs})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        stack.ended(&gateway, answer.body["id"].as_str().unwrap()).await
    };

    let summarise = import(&stack, "summarise").await;
    let ended = run(&summarise, json!({"text": "Rust is fast."})).await;
    assert!(ended["result"]["text"].as_str().unwrap().contains("Summarise this text"), "{ended}");

    let extract = import(&stack, "extract").await;
    let said = r#"{"name": "Ada", "age": 36, "city": null}"#;
    let ended = run(&extract, json!({"text": format!("SCRIPT {}", json!([{"say": said}]))})).await;
    assert_eq!(ended["result"]["data"], json!({"name": "Ada", "age": 36, "city": null}), "{ended}");

    let report = import(&stack, "report").await;
    let saved =
        json!({"title": "report.md", "media_type": "text/markdown", "content": "# Hello"}).to_string();
    let script = json!([
        {"call": [["fetch_url", json!({"url": pages.url("/slow")}).to_string()], ["current_time", "{}"]]},
        {"call": [["save_artifact", saved]]},
        {"say": "They say hello."},
    ]);
    let ended =
        run(&report, json!({"question": format!("SCRIPT {script}"), "pages": pages.url("/slow")})).await;
    assert_eq!(ended["result"]["text"], "They say hello.", "{ended}");
    assert_eq!(
        (&ended["artifacts"][0]["title"], &ended["usage"]["toolCalls"]),
        (&"report.md".into(), &3.into())
    );
}
