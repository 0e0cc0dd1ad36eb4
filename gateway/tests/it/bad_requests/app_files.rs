//! Wrong requests with app files.

use reqwest::Method;
use serde_json::json;

use super::{INVALID, Table};

pub(super) fn cases(table: &mut Table<'_>, key: &str) {
    let app = format!("/api/v1/apps/{}", table.stack.app);
    let mut send =
        |name: &str, method: Method, kind: &str, body: &str, expected: (u16, &'static str), says| {
            let path = if method == Method::PUT { app.as_str() } else { "/api/v1/apps" };
            let request = table.request(method, path).bearer_auth(key).header("if-match", "*");
            let request = request.header("content-type", kind).body(body.to_owned());
            table.case(name, request, expected.0, expected.1, says);
        };
    let (toml, json) = ("application/toml", "application/json");
    let invalid = (400, "invalid_app");
    for method in [Method::PUT, Method::POST] {
        let mut send = |name: &str, kind: &str, body: &str, expected, says| {
            send(&format!("{method} {name}"), method.clone(), kind, body, expected, says);
        };
        send("a form", "text/plain", "x", (415, "unsupported_media_type"), "application/toml");
        send("not TOML", toml, "name = 'a'\nprompt", invalid, "line 2, column ");
        send("not JSON", json, "{", INVALID, "not valid JSON");
        send("an array", json, "[]", INVALID, "JSON object");
        send("empty TOML", toml, "", invalid, "name is missing");
        send("empty JSON", json, "{}", invalid, "name is missing");
        send("a wrong type", json, r#"{"name": "a", "prompt": 3}"#, invalid, "prompt: invalid type");
        send("an unknown member", toml, "name = 'a'\nprompt = 'b'\ncolor = 1", invalid, "color is unknown");
        send("NUL", toml, "name = 'a'\nprompt = \"\\u0000\"", invalid, "U+0000");
        send("no such input", toml, "name = 'a'\nprompt = '{{ x }}'", invalid, "not an input field");
        send("1 MiB + 1", toml, &"#".repeat((1 << 20) + 1), (413, "payload_too_large"), "1048576 bytes");
        send("many tables", toml, &"[[a]]\n".repeat(20_000), invalid, "more than 10000 keys");
        send(
            "256 KiB",
            toml,
            &format!("name='a'\nprompt='{}'", "x".repeat(1 << 18)),
            invalid,
            "262144 bytes",
        );
    }
    let put = |table: &Table<'_>| table.request(Method::PUT, &app).bearer_auth(key).json(&json!({}));
    table.case("no If-Match", put(table), 428, "precondition_required", "If-Match");
    table.case("a bare version", put(table).header("if-match", "1"), 400, "invalid_request", "in quotes");
    let get = |table: &Table<'_>, query: &str| {
        table.request(Method::GET, &format!("{app}{query}")).bearer_auth(key)
    };
    table.case("a format", get(table, "?format=yaml"), 400, "invalid_request", "json or toml");
    table.get(&format!("{app}?format=toml"), 403, "scope_required", "apps:write");
}
