//! The agent: tools step by step, what is recorded of them, and what of a long conversation the model is
//! sent.

use e2e::{Service, Stack};
use serde_json::{Value, json};
use shared::testing::PageServer;

const LOG: &str = "SELECT string_agg(type || coalesce(' ' || (data ->> 'name'), ''), ', ' ORDER BY seq) AS \
                   text FROM run_events";

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_called_side_by_side_and_recorded_in_order() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let pages = PageServer::start().await;
    let app = stack.import_with_tools("").await;
    let report =
        json!({"title": "Bericht.md", "media_type": "Text/Markdown", "content": "# Grüße"}).to_string();
    let script = json!([
        {"say": "Looking.", "call": [
            ["fetch_url", json!({"url": pages.url("/slow")}).to_string()], ["current_time", ""],
            ["save_artifact", report],
        ]},
        {"say": "Done."},
    ]);
    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
    assert_eq!((&run["status"], &run["result"]["text"]), (&"completed".into(), &"Done.".into()), "{run}");
    assert_eq!(run["usage"], json!({"inputTokens": 22, "outputTokens": 14, "steps": 2, "toolCalls": 3}));
    assert_eq!(
        stack.text(LOG).await,
        "run.created, run.started, message, message, tool.call fetch_url, tool.call current_time, tool.call \
         save_artifact, tool.result fetch_url, tool.result current_time, artifact, tool.result \
         save_artifact, message, run.completed"
    );

    let sent = stack.model.asked()[1].1["messages"].clone();
    assert_eq!(sent[1]["tool_calls"][0]["id"], "call_0");
    let results: Vec<_> =
        (2..5).map(|at| (sent[at]["tool_call_id"].clone(), sent[at]["content"].clone())).collect();
    let said = |at: usize| results[at].1.as_str().unwrap().to_owned();
    assert_eq!(results.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), ["call_0", "call_1", "call_2"]);
    assert!(said(0).contains("Slow page") && !said(0).contains("alert("), "{}", said(0));
    assert!(said(1).contains("(UTC)") && said(2).contains("Bericht.md"), "{results:?}");

    let file = &run["artifacts"][0];
    assert_eq!((&file["type"], &file["size"]), (&"text/markdown".into(), &"# Grüße".len().into()));
    assert_eq!(run["result"]["artifacts"], run["artifacts"]);
    let link = file["downloadUrl"].as_str().unwrap().strip_prefix("http://capi.test").unwrap();
    let bytes =
        stack.client().get(format!("{}{link}", gateway.url())).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(&bytes[..], "# Grüße".as_bytes());
    assert_eq!(worker.counter("capi_tool_calls_total").await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_told_what_a_tool_cannot_do() {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_FETCH_ALLOWED_NETWORKS", "");
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let (pages, app) = (PageServer::start().await, stack.import_with_tools("").await);
    let fetch = |url: &str| json!(["fetch_url", json!({"url": url}).to_string()]);
    let calls = [
        (
            json!(["telephone", "{}"]),
            "There is no tool \"telephone\"; there are: current_time, edit_file, fetch_url, list_files, ",
        ),
        (json!(["current_time", "{\"a\":"]), "not a JSON object"),
        (json!(["current_time", "{\"zone\":\"CET\"}"]), "unknown field `zone`"),
        (json!(["save_artifact", "{\"title\":\"a\\u0000\"}"]), "U+0000"),
        (
            json!(["save_artifact", json!({"title": "a", "media_type": "x", "content": ""}).to_string()]),
            "not a media type",
        ),
        (fetch(&pages.url("/")), "does not lead to a public address"),
        (fetch("http://169.254.169.254/latest/meta-data"), "does not lead to a public address"),
        (fetch("http://localhost/"), "not lead to a public address"),
        (fetch("file:///etc/passwd"), "must begin with https"),
    ];
    let (wanted, expected): (Vec<Value>, Vec<&str>) = calls.into_iter().unzip();
    let script = json!([{"call": wanted}, {"say": "Done."}]);
    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
    assert_eq!(run["status"], "completed", "{run}");
    let sent = stack.model.asked()[1].1["messages"].clone();
    for (at, expected) in expected.iter().enumerate() {
        let said = sent[at + 2]["content"].as_str().unwrap();
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(pages.asked(), 0, "nothing inside was reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_bounded_and_each_redirect_is_checked() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let (pages, app) = (PageServer::start().await, stack.import_with_tools("").await);
    let fetch = |path: &str| json!(["fetch_url", json!({"url": pages.url(path)}).to_string()]);
    let fetched = ["/hop", "/inward", "/loop", "/huge", "/image", "/gone"].map(fetch);
    let script = json!([{"call": fetched}, {"say": "Done."}]);
    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
    assert_eq!(run["status"], "completed", "{run}");
    let sent = stack.model.asked()[1].1["messages"].clone();
    let said = |at: usize| sent[at + 2]["content"].as_str().unwrap().to_owned();
    assert!(said(0).contains("Slow page") && said(0).contains("/slow"), "{}", said(0));
    assert!(said(1).contains("does not lead to a public address"), "{}", said(1));
    assert!(said(2).contains("redirects more than 5 times"), "{}", said(2));
    assert!(said(3).len() < 50_000 && said(3).contains("read on with offset"), "{}", said(3).len());
    assert!(said(3).contains("only its first 4 MiB were read"), "{}", said(3).len());
    assert!(said(4).contains("image/png, which is not text"), "{}", said(4));
    assert!(said(5).contains("Status: 404"), "{}", said(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_a_small_memory_is_sent_shortened_results() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let (pages, app) = (PageServer::start().await, stack.import_with_tools("").await);
    let fetch = json!([["fetch_url", json!({"url": pages.url("/long")}).to_string()]]);
    let step = json!({"call": fetch, "usage": null});
    let script = json!([step, step, {"say": "Done."}]);
    let run = stack
        .run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({"chatModelId": "forgetful"}))
        .await;
    assert_eq!(run["status"], "completed", "{run}");
    let sent = stack.model.asked()[2].1["messages"].clone();
    let lengths: Vec<_> = [2, 4].map(|at| sent[at]["content"].as_str().unwrap().len()).into();
    assert!(lengths[0] < 600 && lengths[1] > 3000, "{lengths:?}");
    let kept =
        "SELECT min(length(data ->> 'content'))::text AS text FROM run_events WHERE type = 'tool.result'";
    assert!(stack.text(kept).await.parse::<usize>().unwrap() > 3000, "never in the log");
}
