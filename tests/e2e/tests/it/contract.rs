//! What a wrong request is answered with: a problem that says what to change.

use e2e::{Process, Service, Stack};
use gateway::auth::ApiKey;
use serde_json::{Value, json};

struct Case {
    name: &'static str,
    body: Value,
    status: u16,
    code: &'static str,
    says: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_problems_that_say_what_to_change() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let app = stack.app;
    let with = |more: Value| {
        let mut body = json!({"appId": app, "inputs": {"text": "x"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let case = |name, body, status, code, says| Case { name, body, status, code, says };
    let cases = [
        case("no app", json!({}), 400, "invalid_request", "appId is missing"),
        case(
            "unknown app",
            json!({"appId": "0197f7a0-0000-7000-8000-000000000000"}),
            404,
            "not_found",
            "no such app",
        ),
        case("app id of another form", json!({"appId": "x"}), 404, "not_found", "no such app"),
        case("missing input", json!({"appId": app}), 400, "invalid_inputs", "\"text\" is missing"),
        case(
            "unknown input",
            with(json!({"inputs": {"text": "x", "txt": "y"}})),
            400,
            "invalid_inputs",
            "no input \"txt\"",
        ),
        case(
            "wrong type",
            with(json!({"inputs": {"text": "x", "count": "3"}})),
            400,
            "invalid_inputs",
            "must be a number",
        ),
        case("unknown model", with(json!({"chatModelId": "gpt-9"})), 400, "unknown_model", "scripted, away"),
        case(
            "private webhook",
            with(json!({"webhookUrl": "http://10.0.0.1/"})),
            400,
            "invalid_webhook_url",
            "not a public address",
        ),
        case("no url", with(json!({"webhookUrl": "hook"})), 400, "invalid_webhook_url", "absolute"),
        case("unknown field", with(json!({"input": {}})), 400, "invalid_request", "unknown field \"input\""),
        case("NUL", with(json!({"inputs": {"text": "\0"}})), 400, "invalid_request", "U+0000"),
    ];
    for Case { name, body, status, code, says } in cases {
        let answer = stack.post(&gateway, "/api/v1/runs", &body).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{name}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{name}: {detail}");
        assert_eq!(answer.body["requestId"], answer.headers["x-request-id"].to_str().unwrap(), "{name}");
        assert_eq!(answer.body["status"], status, "{name}");
    }
    assert_eq!(stack.database.run_sql("SELECT id FROM runs").await, 0, "nothing was created");
    let errors = stack
        .post(&gateway, "/api/v1/runs", &json!({"appId": app, "inputs": {"count": true}}))
        .await
        .body["errors"]
        .clone();
    assert_eq!(errors[0]["pointer"], "/inputs/text");
    assert_eq!(errors[1]["pointer"], "/inputs/count");
    odd_requests(&stack, &gateway).await;
}

async fn odd_requests(stack: &Stack, gateway: &Process) {
    let url = format!("{}/api/v1/runs", gateway.url());
    let post = || stack.client().post(&url).bearer_auth(&stack.key);
    let typo =
        format!("{}{}", &stack.key[..stack.key.len() - 1], if stack.key.ends_with('x') { 'y' } else { 'x' });
    let unknown = ApiKey::generate().reveal().to_owned();
    let json = "application/json";
    let requests = [
        (stack.client().post(&url), 401, "unauthorized", "Authorization: Bearer"),
        (stack.client().post(&url).basic_auth("a", Some("b")), 401, "unauthorized", "Bearer scheme"),
        (stack.client().post(&url).bearer_auth(typo), 401, "unauthorized", "checksum"),
        (stack.client().post(&url).bearer_auth(unknown), 401, "unauthorized", "unknown, revoked or expired"),
        (post().body("{}"), 415, "unsupported_media_type", "application/json"),
        (post().header("content-type", json).body("{"), 400, "invalid_request", "not valid JSON"),
        (post().header("content-type", json).body("[]"), 400, "invalid_request", "JSON object"),
        (
            post().header("content-type", json).body("x".repeat((1 << 20) + 1)),
            413,
            "payload_too_large",
            "1048576",
        ),
        (stack.client().delete(&url).bearer_auth(&stack.key), 405, "method_not_allowed", "POST"),
        (stack.client().get(format!("{}/api/v2", gateway.url())), 404, "not_found", "path"),
        (
            stack.client().get(format!("{url}/0197f7a0-0000-7000-8000-000000000000")).bearer_auth(&stack.key),
            404,
            "not_found",
            "no such run",
        ),
    ];
    for (request, status, code, says) in requests {
        let answer = stack.send(request).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains(says), "{answer:?}");
        if status == 401 {
            assert!(answer.headers.contains_key("www-authenticate"));
        }
    }
}

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
