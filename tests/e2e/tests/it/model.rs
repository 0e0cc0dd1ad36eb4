//! A model that fails ends the run with a code of its own.

use e2e::{Service, Stack};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_ends_the_run_with_its_own_code() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let cases = [
        ("STATUS-401", "model_auth_failed"),
        ("STATUS-429", "model_rate_limited"),
        ("STATUS-503", "model_unavailable"),
        ("CUT", "model_unavailable"),
        ("EMPTY", "model_error"),
    ];
    for (text, code) in cases {
        let id = stack.create_run(&gateway, text, None).await;
        let run = stack.ended(&gateway, &id).await;
        assert_eq!((&run["status"], &run["errorCode"]), (&"failed".into(), &code.into()), "{text}: {run}");
        assert_eq!((&run["error"]["code"], &run["error"]["step"]), (&code.into(), &1.into()));
        assert_eq!(run["error"]["eventSeq"], 4, "the terminal event");
    }
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}, "chatModelId": "away"});
    let id = stack.post(&gateway, "/api/v1/runs", &body).await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(stack.ended(&gateway, &id).await["errorCode"], "model_unavailable");
}
