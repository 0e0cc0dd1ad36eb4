//! Requests that are almost right: the answer names the cause and what to write instead.

use e2e::{Answer, Gateway, Stack};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::app::TestApp;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn detail(answer: &Answer) -> &str {
    answer.body["detail"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_does_not_exist_names_the_likely_one() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let request = |method: &str, path: &str| {
        // A URL that a client library parses loses nothing of the path.
        stack.client().request(method.parse().unwrap(), format!("{}{path}", gateway.url()))
    };
    for path in ["//api/v1/runs", "/v1/runs", "/API/v1/runs", "/api/v1/runs/", "/api/v2/runs", "/api/runs"] {
        for method in ["GET", "POST", "DELETE"] {
            for accept in ["application/json", "*/*", ""] {
                let answer = stack.send(request(method, path).header("accept", accept)).await;
                assert_eq!((answer.status, &answer.body["code"]), (404, &"not_found".into()), "{path}");
                assert_eq!(answer.headers["content-type"], "application/problem+json", "{path}");
                assert!(detail(&answer).contains("did you mean /api/v1/runs?"), "{path}: {answer:?}");
            }
        }
        let head = request("HEAD", path).send().await.unwrap();
        assert_eq!(
            (head.status().as_u16(), &head.headers()["content-type"]),
            (404, &"application/problem+json".parse().unwrap())
        );
        let page = request("GET", path).header("accept", BROWSER).send().await.unwrap();
        assert_eq!(page.status(), 404);
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
        assert!(page.text().await.unwrap().contains("Did you mean /api/v1/runs?"), "{path}");
    }
    let unknown = stack.send(request("GET", "/api/v1/wp-login")).await;
    assert!(detail(&unknown).contains("no such path; /docs"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_plain_utf8_are_named() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}}).to_string();
    let create = || {
        let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
        request.header("content-type", "application/json")
    };
    let wide: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: Vec<(RequestBuilder, u16, &str)> = vec![
        (create().header("content-encoding", "gzip").body("x"), 415, "send it uncompressed"),
        (create().header("content-encoding", "br").body(body.clone()), 415, "\"br\""),
        (create().header("content-encoding", "identity").body(body.clone()), 202, ""),
        (create().body(format!("\u{feff}{body}")), 202, ""),
        (create().body(wide), 400, "the body is UTF-16; send it as UTF-8"),
        (create().body(b"{\"a\":\"\xfc\"}".to_vec()), 400, "0xFC at offset 6"),
        (create().body(""), 400, "the body is empty"),
    ];
    for (request, status, said) in cases {
        let answer = stack.send(request).await;
        assert_eq!(answer.status, status, "{said}: {answer:?}");
        assert!(detail(&answer).contains(said), "{said}: {answer:?}");
    }
    let latin = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
    let answer =
        stack.send(latin.header("content-type", "application/json; charset=latin1").body(body)).await;
    assert_eq!((answer.status, detail(&answer).contains("UTF-8")), (415, true), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misplaced_or_mistyped_name_is_told_where_it_belongs() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let request = |method: Method, path: &str| {
        stack.client().request(method, format!("{}{path}", gateway.url())).bearer_auth(&stack.key)
    };
    let good = json!({"appId": stack.app, "inputs": {"text": "x"}});
    for (path, said) in [
        ("/api/v1/runs?wait=5", "Prefer: wait=5"),
        ("/api/v1/runs?Idempotency-Key=a", "header Idempotency-Key"),
        ("/api/v1/runs?dry_run=true", "did you mean \"dryRun\"?"),
        ("/api/v1/runs?webhook_url=https://a.example", "send it in the body"),
    ] {
        let answer = stack.send(request(Method::POST, path).json(&good)).await;
        assert!(answer.status == 400 && detail(&answer).contains(said), "{path}: {answer:?}");
    }
    let with = |more: Value| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request(Method::POST, "/api/v1/runs").json(&body)
    };
    for (more, said) in [
        (json!({"webhook_url": "https://a.example"}), "did you mean \"webhookUrl\"?"),
        (json!({"idempotency_key": "a"}), "header Idempotency-Key"),
        (json!({"dryRun": true}), "?dryRun=true"),
        (json!({"inputs": {"txt": "x"}}), "did you mean \"text\"?"),
    ] {
        let answer = stack.send(with(more)).await;
        assert!(answer.status == 400 && detail(&answer).contains(said), "{said}: {answer:?}");
    }
    let empty = stack.send(with(json!({"webhookUrl": "", "chatModelId": ""}))).await;
    assert_eq!(empty.status, 202, "{empty:?}");
    let run = stack.get(&gateway, &format!("/api/v1/runs/{}", empty.body["id"].as_str().unwrap())).await;
    assert_eq!(run.body["webhookUrl"], Value::Null, "{run:?}");
    for name in ["createdAfter", "createdBefore"] {
        let path = format!("/api/v1/runs?{name}=2026-01-01T00:00:00+01:00");
        assert_eq!(stack.get(&gateway, &path).await.status, 200, "a + in a query is a space");
    }
    let foreign = stack.client().get(format!("{}/api/v1/me", gateway.url())).bearer_auth("sk-abc123");
    let answer = stack.send(foreign).await;
    assert!(answer.status == 401 && detail(&answer).contains("begin with `capi_`"), "{answer:?}");
}

/// A retry may pass through a program that writes numbers otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn equal_json_with_one_idempotency_key_is_one_run() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let app = stack.app;
    let create = async |key: &str, inputs: &str, metadata: &str| {
        let body = format!(r#"{{"appId":"{app}","inputs":{inputs},"metadata":{metadata}}}"#);
        let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
        let request = request.header("idempotency-key", key).header("content-type", "application/json");
        stack.send(request.body(body)).await
    };
    let first = create("n", r#"{"text":"x","count":1}"#, r#"{"a":"1","b":"2"}"#).await;
    assert_eq!(first.status, 202, "{first:?}");
    for inputs in [r#"{"count":1.0,"text":"x"}"#, r#"{"text":"\u0078","count":1e0}"#] {
        let again = create("n", inputs, r#"{"b":"2","a":"1"}"#).await;
        assert_eq!((again.status, &again.body["id"]), (202, &first.body["id"]), "{inputs}: {again:?}");
    }
    let form: &[e2e::form::Part] = &[
        ("name=\"appId\"", stack.app.to_string().leak().as_bytes()),
        ("name=\"inputs\"", br#"{"count":1.0,"text":"x"}"#),
        ("name=\"metadata\"", br#"{"b":"2","a":"1"}"#),
    ];
    let again = stack.post_form(&gateway, "/api/v1/runs", Some("n"), form).await;
    assert_eq!((again.status, &again.body["id"]), (202, &first.body["id"]), "as a form: {again:?}");
    let other = create("n", r#"{"text":"x","count":1.5}"#, r#"{"a":"1","b":"2"}"#).await;
    assert_eq!(other.body["code"], "idempotency_conflict", "{other:?}");
    let large = create("large", r#"{"text":"x","count":9007199254740993}"#, "{}").await;
    assert_eq!(large.status, 202, "{large:?}");
    let other = create("large", r#"{"text":"x","count":9007199254740992.0}"#, "{}").await;
    assert_eq!(other.body["code"], "idempotency_conflict", "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_with_a_path_stops_the_start_with_a_sentence() {
    let command: clap::Command = <gateway::config::Config as clap::Args>::augment_args(
        clap::Command::new("gateway").no_binary_name(true),
    );
    let refused = command.try_get_matches_from(["--public-url=https://host.example/capi/"]).unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("without path") && said.contains("public-url"), "{said}");
}
