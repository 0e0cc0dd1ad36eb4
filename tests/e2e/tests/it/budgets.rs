//! A run that uses up what it may ends with a code of its own, and keeps what it had.

use e2e::{Service, Stack};
use serde_json::{Value, json};
use shared::testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn each_budget_ends_the_run_with_its_own_code_and_keeps_the_partial_result() {
    /// Enough for the first step.
    const TIME: &str = "seconds = 10";
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let report = json!({"title": "a.txt", "media_type": "text/plain", "content": "kept"}).to_string();
    let endless = json!([{"say": "Once more.", "call": [["save_artifact", report]]}]);
    let slow = json!([{"say": "Now.", "call": [["save_artifact", report]]}, {"hold": true, "say": "late"}]);
    let uncounted = json!([{"say": "x".repeat(4000), "usage": null, "call": [["current_time", ""]]}]);
    let cases: [(&str, &Value, &str, i64); 7] = [
        ("steps = 3", &endless, "step_limit_exceeded", 3),
        ("tool_calls = 2", &endless, "tool_call_limit_exceeded", 3),
        // The tokens allow no third answer, so the second is the last one.
        ("tokens = 50", &endless, "token_limit_exceeded", 2),
        ("output_bytes = 250", &endless, "output_limit_exceeded", 3),
        (TIME, &slow, "time_limit_exceeded", 1),
        ("tokens = 1500", &uncounted, "token_limit_exceeded", 1),
        ("output_bytes = 3000", &json!([{"say": "x".repeat(4000)}]), "output_limit_exceeded", 1),
    ];
    for (limits, script, code, steps) in cases {
        let app = stack.import_with_tools(&format!("[limits]\n{limits}\n")).await;
        // A busy machine may use up the time before the first step.
        let run = eventually("a run makes its first step", async || {
            let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
            (limits != TIME || run["usage"]["steps"].as_u64() > Some(0)).then_some(run)
        })
        .await;
        assert_eq!((&run["status"], &run["errorCode"]), (&"failed".into(), &code.into()), "{limits}: {run}");
        assert_eq!(run["usage"]["steps"], steps, "{limits}: {run}");
        assert_eq!(
            (&run["result"]["partial"], &run["error"]["retryable"]),
            (&true.into(), &(limits == TIME).into())
        );
        assert!(!run["result"]["text"].as_str().unwrap().is_empty(), "{limits}: {run}");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("step "), "{message}");
        let kept = !run["result"]["artifacts"].as_array().unwrap().is_empty();
        assert_eq!(kept, script.to_string().contains("save_artifact"), "{limits}: {run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_warned_once_near_a_limit() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools("[limits]\ntool_calls = 10\n").await;
    let script = json!([{"call": [["current_time", ""]]}]);
    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
    assert_eq!(run["errorCode"], "tool_call_limit_exceeded", "{run}");
    let told = async |kind: &str| {
        let told = format!(
            "SELECT coalesce(string_agg(seq || ' ' || (data ->> 'text'), '; '), '') AS text FROM run_events \
             WHERE type = 'note' AND data ->> 'kind' = '{kind}'"
        );
        stack.text(&told).await
    };
    let last = told("no_tool_calls_left").await;
    assert!(last.starts_with("35 ") && last.contains("switched off"), "behind the tenth call: {last}");
    let told = told("wrap_up").await;
    let words = "2 of 10 tool calls are left. Finish now: give your final answer with what you have.";
    assert_eq!(told, format!("28 {words}"), "behind the eighth call, and only there");
    let ninth = stack.model.asked()[8].1["messages"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(ninth["role"], "tool");
    assert!(ninth["content"].as_str().unwrap().ends_with(words), "joined to what it stands behind: {ninth}");
}

/// Within all limits the last answer is the result. Otherwise it is what the failed run keeps.
#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_asked_once_more_when_a_limit_is_used_up() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    for (limits, calls, code, made) in [
        ("steps = 2", 1, "", 1),
        ("tool_calls = 2", 2, "", 2),
        ("tool_calls = 2", 3, "tool_call_limit_exceeded", 0),
    ] {
        let app = stack.import_with_tools(&format!("[limits]\n{limits}\n")).await;
        let calls = vec![["current_time", ""]; calls];
        let script = json!([{"say": "I look.", "call": calls}, {"say": "That is all."}]);
        let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
        assert_eq!(run["errorCode"].as_str().unwrap_or_default(), code, "{run}");
        assert_eq!(run["result"]["text"], "That is all.", "{run}");
        assert_eq!(run["result"]["partial"] == true, !code.is_empty(), "{run}");
        assert_eq!((&run["usage"]["steps"], &run["usage"]["toolCalls"]), (&2.into(), &made.into()), "{run}");
        let (_, last) = stack.model.asked().pop().unwrap();
        assert_eq!(last["tool_choice"], "none", "{limits}");
        assert!(!last["tools"].as_array().unwrap().is_empty(), "they stay in the prefix");
        let told = last["messages"].to_string();
        assert!(told.contains("Tools are switched off now"), "{told}");
        assert_eq!(told.matches("This call was not made").count(), if made == 0 { 3 } else { 0 }, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_keeps_the_partial_result() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools("").await;
    let script = json!([{"say": "First.", "call": [["current_time", ""]]}, {"hold": true}]);
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let id = stack.create_run_of(&gateway, &body).await;
    eventually("the model holds its second answer", async || (stack.model.holding() == 1).then_some(()))
        .await;
    assert_eq!(stack.cancel_run(&gateway, &id).await.status, 200);
    let run = stack.ended(&gateway, &id).await;
    assert_eq!(run["result"], json!({"text": "First.", "partial": true, "artifacts": []}), "{run}");
    eventually("the model's stream is closed", async || (stack.model.holding() == 0).then_some(())).await;
}
