//! A run that lost its worker continues at the lost step, and no recorded answer is asked for again (R16).

use std::time::Duration;

use e2e::{Process, Service, Stack};
use serde_json::{Value, json};
use shared::testing::{PageServer, eventually};

async fn scripted(stack: &Stack, gateway: &Process, script: &Value) -> String {
    let app = stack.import_with_tools("").await;
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    stack.create_run_of(gateway, &body).await
}

/// Events of the run by type, in order.
async fn log(stack: &Stack) -> String {
    stack.text("SELECT string_agg(type || ' ' || attempt, ', ' ORDER BY seq) AS text FROM run_events").await
}

#[tokio::test(flavor = "multi_thread")]
async fn r16_a_crash_after_the_intent_repeats_the_tool_and_not_the_question() {
    let stack = Stack::unlimited().await;
    let pages = PageServer::start().await;
    let gateway = stack.start(Service::Gateway).await;
    let doomed = stack.start(Service::RunWorker).await;
    let fetch = json!({"url": pages.url("/never-at-first")}).to_string();
    let id = scripted(
        &stack,
        &gateway,
        &json!([
            {"say": "One.", "call": [["current_time", ""]]}, {"say": "Two.", "call": [["fetch_url", fetch]]},
            {"say": "Done."},
        ]),
    )
    .await;
    eventually("the page is asked for", async || (pages.holding() == 1).then_some(())).await;
    doomed.kill().await;
    let _other = stack.start(Service::RunWorker).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["result"]["text"], &run["attempt"]), (&"Done.".into(), &2.into()), "{run}");
    assert_eq!((stack.model.asked().len(), pages.asked()), (3, 2), "three answers, each asked for once");
    assert_eq!(run["usage"]["toolCalls"], 2, "a call that was repeated counts once");
    assert_eq!(
        log(&stack).await,
        "run.created 0, run.started 1, message 1, message 1, tool.call 1, tool.result 1, message 1, \
         tool.call 1, run.taken_over 2, tool.result 2, message 2, run.completed 2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r16_a_crash_between_effect_and_record_leaves_one_effect() {
    let stack = Stack::unlimited().await;
    let pages = PageServer::start().await;
    let (database, mut behind) = stack.database_proxy().await;
    // Without the database the worker must not give up the run before the file is stored.
    for (name, value) in &mut behind {
        if name == "CAPI_LEASE_SECONDS" {
            value.replace_range(.., "60");
        }
    }
    let gateway = stack.start(Service::Gateway).await;
    let doomed = Process::start(Service::RunWorker, &behind).await;
    let fetch = json!({"url": pages.url("/never-at-first")}).to_string();
    let report = json!({"title": "a.txt", "media_type": "text/plain", "content": "hello"}).to_string();
    let script =
        json!([{"say": "One.", "call": [["fetch_url", fetch], ["save_artifact", report]]}, {"say": "Done."}]);
    let id = scripted(&stack, &gateway, &script).await;
    eventually("the page is asked for", async || (pages.holding() == 1).then_some(())).await;
    // Both intents are recorded; what follows is not, because results are recorded in their order.
    database.freeze();
    let run = id.parse().unwrap();
    eventually("the file is stored", async || (stack.stored(run) == 1).then_some(())).await;
    doomed.kill().await;
    stack.database.set_clock_ahead(Duration::from_mins(1)).await;
    let _other = stack.start(Service::RunWorker).await;
    let run_view = stack.ended(&gateway, &id).await;
    assert_eq!((&run_view["status"], &run_view["attempt"]), (&"completed".into(), &2.into()), "{run_view}");
    assert_eq!(stack.model.asked().len(), 2);
    assert_eq!((run_view["artifacts"].as_array().unwrap().len(), stack.stored(run)), (1, 1), "{run_view}");
    assert_eq!(run_view["result"]["artifacts"][0]["title"], "a.txt");
}
