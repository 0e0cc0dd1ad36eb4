//! Every wrong request has its documented problem, with a detail that says what to change. One table.

mod app_files;
mod queries;
mod webhooks;

use e2e::accounts::{ApiKey, EMAIL};
use e2e::{Answer, Gateway, Stack};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::app::TestApp;

const UNKNOWN_ID: &str = "0197f7a0-0000-7000-8000-000000000000";

/// What is sent, and what must come back.
struct Case {
    name: String,
    request: RequestBuilder,
    expected: (u16, &'static str),
    /// Part of the detail.
    says: &'static str,
}

/// Builds cases against one gateway.
struct Table<'a> {
    stack: &'a Stack,
    gateway: &'a TestApp,
    cases: Vec<Case>,
}

impl Table<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.stack.client().request(method, format!("{}{path}", self.gateway.url()))
    }

    fn case(
        &mut self,
        name: impl Into<String>,
        request: RequestBuilder,
        status: u16,
        code: &'static str,
        says: &'static str,
    ) {
        self.cases.push(Case { name: name.into(), request, expected: (status, code), says });
    }

    /// A create with this JSON.
    fn json(&mut self, name: &str, body: &Value, expected: (u16, &'static str), says: &'static str) {
        self.raw(name, body.to_string(), expected, says);
    }

    /// A create with this body.
    fn raw(
        &mut self,
        name: &str,
        body: impl Into<reqwest::Body>,
        (status, code): (u16, &'static str),
        says: &'static str,
    ) {
        let request = self.request(Method::POST, "/api/v1/runs").bearer_auth(&self.stack.key);
        self.case(name, request.header("content-type", "application/json").body(body), status, code, says);
    }

    fn get(&mut self, path: &str, status: u16, code: &'static str, says: &'static str) {
        let request = self.request(Method::GET, path).bearer_auth(&self.stack.key);
        self.case(path, request, status, code, says);
    }
}

const INVALID: (u16, &str) = (400, "invalid_request");
const URL: (u16, &str) = (400, "invalid_webhook_url");
const INPUTS: (u16, &str) = (400, "invalid_inputs");

fn keys(table: &mut Table<'_>, plan_less: &str) {
    let stack = table.stack;
    let typo = stack.mistyped_key();
    let unknown = ApiKey::generate().reveal().to_owned();
    let me = |table: &Table<'_>| table.request(Method::GET, "/api/v1/me");
    table.case("no key", me(table), 401, "unauthorized", "Authorization: Bearer");
    table.case("other scheme", me(table).basic_auth("a", Some("b")), 401, "unauthorized", "Bearer scheme");
    table.case("malformed key", me(table).bearer_auth("capi_123"), 401, "unauthorized", "malformed");
    table.case(
        "not even ASCII",
        me(table).header("authorization", "Bearer kläf".as_bytes()),
        401,
        "unauthorized",
        "Bearer",
    );
    table.case("a typo", me(table).bearer_auth(typo), 401, "unauthorized", "checksum");
    table.case(
        "unknown key",
        me(table).bearer_auth(unknown),
        401,
        "unauthorized",
        "unknown, revoked or expired",
    );
    table.case("free plan", me(table).bearer_auth(plan_less), 403, "plan_required", "paid plan");
}

fn bodies(table: &mut Table<'_>) {
    let nested = |levels| format!("{{\"inputs\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let typed = table.request(Method::POST, "/api/v1/runs").bearer_auth(&table.stack.key);
    table.case("no content type", typed.body("{}"), 415, "unsupported_media_type", "application/json");
    let typed = table.request(Method::POST, "/api/v1/runs").bearer_auth(&table.stack.key);
    table.case(
        "a form",
        typed.header("content-type", "application/x-www-form-urlencoded").body("appId=x"),
        415,
        "unsupported_media_type",
        "application/json",
    );
    table.raw("empty", "", INVALID, "the body is empty");
    table.raw("not JSON", "{", INVALID, "not valid JSON");
    table.raw("trailing", "{} {}", INVALID, "not valid JSON");
    table.raw("not an object", "[]", INVALID, "JSON object");
    table.raw("a key twice", r#"{"appId":"a","appId":"b"}"#, INVALID, "\"appId\" appears twice");
    table.raw("a key twice, deep", r#"{"inputs":{"a":{"b":1,"b":2}}}"#, INVALID, "appears twice");
    table.raw("1 MiB + 1", "x".repeat((1 << 20) + 1), (413, "payload_too_large"), "1048576 bytes");
    table.raw("65 levels", nested(64), INVALID, "64 levels");
    table.raw("1,000 levels", nested(1000), INVALID, "not valid JSON");
    table.raw("NUL", r#"{"inputs":{"text":"\u0000"}}"#, INVALID, "U+0000");
    table.raw("NUL in a key", r#"{"metadata":{"\u0000":"a"}}"#, INVALID, "U+0000");
    table.raw("a bare NUL", "{\"inputs\":{\"text\":\"\0\"}}", INVALID, "not valid JSON");
    table.raw("lone surrogate", r#"{"inputs":{"text":"\ud800"}}"#, INVALID, "not valid JSON");
    table.raw("not UTF-8", b"{\"inputs\":{\"text\":\"\xff\"}}".as_slice(), INVALID, "0xFF at offset 19");
    table.raw("number out of range", r#"{"inputs":{"count":1e999}}"#, INVALID, "number out of range");
}

fn fields(table: &mut Table<'_>) {
    let app = table.stack.app;
    table.json("unknown fields", &json!({"input": {}, "app": 1}), INVALID, "unknown field \"app\"");
    table.json(
        "wrong types",
        &json!({"appId": 1, "inputs": [], "metadata": "x"}),
        INVALID,
        "appId must be a string; inputs must be an object",
    );
    table.json("no app", &json!({}), INVALID, "appId is missing");
    table.json("unknown app", &json!({"appId": UNKNOWN_ID}), (404, "not_found"), "no such app");
    table.json("app id of another form", &json!({"appId": "x"}), (404, "not_found"), "no such app");
    let with = |more: Value| {
        let mut body = json!({"appId": app, "inputs": {"text": "x"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    table.json("missing input", &with(json!({"inputs": {}})), INPUTS, "\"text\" is missing");
    table.json(
        "unknown input",
        &with(json!({"inputs": {"text": "x", "txt": "y"}})),
        INPUTS,
        "no input \"txt\"",
    );
    table.json(
        "wrong input type",
        &with(json!({"inputs": {"text": "x", "count": "3"}})),
        INPUTS,
        "must be a number",
    );
    table.json(
        "unknown model",
        &with(json!({"chatModelId": "gpt-9"})),
        (400, "unknown_model"),
        "scripted, plain, forgetful, impatient, away, scripted-chat, scripted-responses, scripted-anthropic",
    );
    for seconds in [json!(0), json!(604_801), json!(1.5), json!("60")] {
        table.json(
            "queue timeout",
            &with(json!({"queueTimeoutSeconds": seconds})),
            INVALID,
            "from 1 to 604800",
        );
    }
    table.json(
        "metadata of numbers",
        &with(json!({"metadata": {"a": 1}})),
        INVALID,
        "values must be strings",
    );
    let many: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    table.json("17 pairs", &with(json!({"metadata": many})), INVALID, "16 pairs");
    let mut url = |url: &str, says| {
        table.json(&format!("webhook {url:.60}"), &with(json!({"webhookUrl": url})), URL, says);
    };
    url("hook", "absolute");
    url("ftp://example.com/", "https:// or http://");
    url("https://user:pw@example.com/", "user name or password");
    url("https://example.com:22/", "port 22");
    url(&format!("https://example.com/{}", "x".repeat(2048)), "2048 bytes");
    for private in
        ["10.0.0.1", "167772161", "012.0.0.1", "0xa000001", "[::ffff:10.0.0.1]", "[::1]", "169.254.169.254"]
    {
        url(&format!("http://{private}/"), "not a public address");
    }
}

fn check(case: &(String, (u16, &str), &str), answer: &Answer) {
    let (name, (status, code), says) = case;
    let (body, headers) = (&answer.body, &answer.headers);
    assert_eq!((answer.status, body["code"].as_str()), (*status, Some(*code)), "{name}: {answer:?}");
    assert_eq!(headers["content-type"], "application/problem+json", "{name}");
    assert!(body["detail"].as_str().unwrap().contains(says), "{name}: {}", body["detail"]);
    assert_eq!(body["requestId"], headers["x-request-id"].to_str().unwrap(), "{name}");
    assert_eq!(body["status"], *status, "{name}");
    assert_eq!(body["type"], format!("/docs/problems/{code}"), "{name}");
    assert_eq!(headers.contains_key("www-authenticate"), *status == 401, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_problems_that_say_what_to_change() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let poor = stack.account("poor@example.com", "pro").await;
    stack.set_plan(&poor.email, "free").await;
    let mut table = Table { stack: &stack, gateway: &gateway, cases: Vec::new() };
    keys(&mut table, &poor.key);
    bodies(&mut table);
    fields(&mut table);
    queries::cases(&mut table);
    webhooks::cases(&mut table);
    let all_scopes = stack.create_key_with_all_scopes(EMAIL).await;
    app_files::cases(&mut table, &all_scopes);
    assert!(table.cases.len() > 100, "the table has {} lines", table.cases.len());
    for Case { name, request, expected, says } in table.cases {
        check(&(name, expected, says), &stack.send(request).await);
    }
    assert_eq!(stack.database.run_sql("SELECT id FROM runs").await, 0, "nothing was created");

    stack.database.run_sql("UPDATE apps SET archived_at = capi_now()").await;
    let archived = stack.post(&gateway, &format!("/api/v1/apps/{}/runs", stack.app), &json!({})).await;
    check(&("archived app".to_owned(), (409, "app_archived"), "restore the app"), &archived);
    assert_eq!(stack.get(&gateway, &format!("/api/v1/apps/{}", stack.app)).await.body["archived"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_has_its_location() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let places = |answer: &Answer, kind: &str| -> Vec<Value> {
        answer.body["errors"].as_array().unwrap().iter().map(|error| error[kind].clone()).collect()
    };
    let body = json!({"appId": stack.app, "inputs": {"count": true, "a/b": 1}});
    let inputs = stack.post(&gateway, "/api/v1/runs", &body).await;
    assert_eq!(places(&inputs, "pointer"), ["/inputs/a~1b", "/inputs/text", "/inputs/count"]);
    let query = stack.get(&gateway, "/api/v1/runs?limit=0&status=done&colour=red").await;
    assert_eq!(places(&query, "parameter"), ["status", "limit", "colour"]);
    let events = format!("{}/api/v1/runs/{UNKNOWN_ID}/events?after=x", gateway.url());
    let events = stack.client().get(events).bearer_auth(&stack.key);
    assert_eq!(places(&stack.send(events).await, "parameter"), ["after"]);
    let events = format!("{}/api/v1/runs/{UNKNOWN_ID}/events", gateway.url());
    let events = stack.client().get(events).bearer_auth(&stack.key).header("accept", "text/event-stream");
    assert_eq!(places(&stack.send(events.header("last-event-id", "x")).await, "header"), ["Last-Event-ID"]);
    let detail = query.body["detail"].as_str().unwrap();
    assert!(detail.contains("status must be") && detail.contains("limit must be"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_request_makes_no_large_answer() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let many: Vec<_> = (0..60_000).map(|n| format!("\"{n}\":0")).collect();
    let url = format!("{}/api/v1/apps/{}/runs", gateway.url(), stack.app);
    for body in [format!("{{{}}}", many.join(",")), format!("{{\"inputs\":{{{}}}}}", many.join(","))] {
        let request = stack.client().post(&url).bearer_auth(&stack.key).body(body);
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.bytes().await.unwrap().len() < 16 * 1024);
    }
    let names: Vec<_> = (0..1000).map(|n| format!("a{n}=%00")).collect();
    let query = stack.get(&gateway, &format!("/api/v1/runs?{}", names.join("&"))).await;
    assert_eq!((query.status, query.body["errors"].as_array().unwrap().len() <= 40), (400, true));
}
