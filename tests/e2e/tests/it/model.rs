//! A model that fails, is slow, or talks nonsense: each ends the run with a code of its own, or is asked
//! again (R17).

use e2e::{Process, Service, Stack};
use serde_json::{Value, json};

/// How the run of a script ended: its error code, or its result.
fn end(run: &Value) -> String {
    run["errorCode"].as_str().or(run["result"]["text"].as_str()).unwrap_or_default().to_owned()
}

/// Enough time for some tries. After them, the next wait is longer than the time that is left.
const SHORT: &str = "[limits]\nseconds = 8\n";

/// A run that must fail. On a busy machine a short time may end during the last try; then there is another
/// run.
async fn failed(stack: &Stack, gateway: &Process, limits: &str, (text, model): (&str, &str)) -> Value {
    let runs = if limits == SHORT { 5 } else { 1 };
    let app = stack.import_with_tools(limits).await;
    let mut run = Value::Null;
    for _ in 0..runs {
        run = stack.run_app(gateway, &app, text, &json!({"chatModelId": model})).await;
        if run["errorCode"] != "time_limit_exceeded" {
            break;
        }
    }
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_ends_the_run_with_its_own_code() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    // The second refusal asks for a wait that is longer than the run may take.
    let twice = |status: u16| format!("SCRIPT {}", json!([{"fail": [1, status, 1, [status, 3600]]}]));
    let (limited, down) = (twice(429), twice(503));
    let cases = [
        ("", "STATUS-401", "scripted", "model_auth_failed"),
        ("", "STATUS-400", "scripted", "model_error"),
        ("", limited.as_str(), "scripted", "model_rate_limited"),
        ("", down.as_str(), "scripted", "model_unavailable"),
        (SHORT, "CUT", "scripted", "model_unavailable"),
        ("", "EMPTY", "scripted", "model_error"),
        (SHORT, "hello", "away", "model_unavailable"),
    ];
    for (limits, text, model, code) in cases {
        let run = failed(&stack, &gateway, limits, (text, model)).await;
        assert_eq!((&run["status"], &run["errorCode"]), (&"failed".into(), &code.into()), "{text}: {run}");
        assert_eq!((&run["error"]["code"], &run["error"]["step"]), (&code.into(), &1.into()));
        assert_eq!(run["error"]["eventSeq"], 4, "the terminal event");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("step 1: the model"), "{message}");
        let once = ["STATUS-401", "STATUS-400"].contains(&text);
        assert_eq!(message.contains("tries)"), !once, "what may pass is asked again: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_waited_out_and_recorded_once() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools("").await;
    let failures = [
        (json!([2, 503]), "scripted"),
        (json!([2, "cut"]), "scripted"),
        (json!([1, [429, 1]]), "scripted"),
        (json!([1, "stall"]), "impatient"),
    ];
    for (fail, model) in &failures {
        let script = json!([{"call": [["current_time", ""]]}, {"fail": fail, "say": "At last."}]);
        let run =
            stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({"chatModelId": model})).await;
        assert_eq!(end(&run), "At last.", "{fail}: {run}");
        assert_eq!((&run["usage"]["steps"], &run["attempt"]), (&2.into(), &1.into()), "{fail}: {run}");
    }
    let answers = "SELECT count(*)::text AS text FROM run_events WHERE type = 'message' AND data ->> 'role' \
                   = 'assistant'";
    assert_eq!(stack.text(answers).await, (failures.len() * 2).to_string(), "no answer is recorded twice");
    assert_eq!(worker.counter("capi_model_retries_total").await, 6.0);
    let asked: Vec<_> = stack.model.asked().into_iter().map(|(at, _)| at).collect();
    assert_eq!(asked.len(), failures.len() * 2 + 6);
    // Four questions each of the first two runs; of the third the first step, the refusal, the second try.
    let waited = asked[10].duration_since(asked[9]);
    assert!(waited.as_millis() >= 1000, "Retry-After is kept: {waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_has_a_named_end_or_is_taken() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools("").await;
    let raw = |delta: &str| {
        let raw = format!(
            "data: {{\"choices\":[{{\"delta\":{delta},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
        );
        json!([{"raw": raw}, {"say": "fine"}])
    };
    let cases = [
        (raw(r#"{"content":"a\u0000b\ud83d"}"#), "a\u{fffd}b\u{fffd}"),
        (raw(r#"{"refusal":"I will not."}"#), "model_refused"),
        (json!([{"raw": "data: {]\n\n"}]), "model_error"),
        (json!([{"raw": "data: {\"error\":{\"message\":\"overloaded\",\"code\":400}}\n\n"}]), "model_error"),
        (json!([{"say": "x".repeat(1024), "repeat": 2000}]), "model_error"),
        (json!([{"say": "half", "finish": "length"}]), "token_limit_exceeded"),
        (json!([{"call": [["current_time", "{"]], "finish": "length"}]), "token_limit_exceeded"),
        (json!([{"say": "half", "finish": "content_filter"}]), "model_refused"),
        (raw(r#"{"tool_calls":[{"function":{"name":"current_time","arguments":"\u0000\ud800"}}]}"#), "fine"),
        (
            raw(r#"{"tool_calls":[{"id":"\u0000","function":{"name":"no\u0000tool","arguments":{}}},{}]}"#),
            "fine",
        ),
    ];
    for (script, expected) in cases {
        let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
        assert_eq!(end(&run), expected, "{run:.2000}");
    }
    let long: Vec<_> = (0..200_000).map(|number| number.to_string()).collect();
    stack.model.script("LONG", &json!([{"say": long.join(" ")}]));
    let run = stack.run_app(&gateway, &app, "LONG", &json!({})).await;
    assert_eq!(end(&run), "output_limit_exceeded", "{run:.2000}");
    assert_eq!(run["result"]["text"].as_str().unwrap().len(), 1 << 20, "what there was is kept");
}
