//! Wrong queries, and wrong requests for streams.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use reqwest::Method;

use super::{INVALID, Table, UNKNOWN_ID};

pub(super) fn cases(table: &mut Table<'_>) {
    table.get("/api/v1/runs?limit=0", 400, "invalid_request", "1 to 100");
    table.get("/api/v1/runs?limit=101", 400, "invalid_request", "1 to 100");
    table.get("/api/v1/runs?limit=ten", 400, "invalid_request", "1 to 100");
    table.get("/api/v1/runs?include=inputs,result&limit=21", 400, "invalid_request", "20 at most");
    table.get("/api/v1/runs?include=everything", 400, "invalid_request", "inputs,result");
    table.get(
        "/api/v1/runs?status=done",
        400,
        "invalid_request",
        "pending, running, completed, failed, cancelled",
    );
    table.get("/api/v1/runs?cursor=bogus", 400, "invalid_request", "nextCursor");
    table.get("/api/v1/apps?cursor=AAAA", 400, "invalid_request", "nextCursor");
    for filters in
        [r#""metadata":[["a\u0000","b"]]"#, r#""after":"+262000-01-01T00:00:00Z""#, r#""colour":"red""#]
    {
        let made_up =
            format!(r#"{{"v":1,"at":"2026-11-24T12:00:00Z","id":"{UNKNOWN_ID}","filters":{{{filters}}}}}"#);
        let cursor = BASE64_URL_SAFE_NO_PAD.encode(made_up);
        table.get(&format!("/api/v1/runs?cursor={cursor}"), 400, "invalid_request", "nextCursor");
    }
    table.get("/api/v1/runs?createdAfter=yesterday", 400, "invalid_request", "RFC 3339");
    table.get("/api/v1/runs?createdBefore=0001-01-01T00:00:00Z", 400, "invalid_request", "RFC 3339");
    table.get("/api/v1/runs?appId=x", 400, "invalid_request", "app's id");
    table.get("/api/v1/runs?source=mail", 400, "invalid_request", "api, console");
    table.get("/api/v1/runs?metadata.a=%00", 400, "invalid_request", "U+0000");
    table.get("/api/v1/runs?metadata=a", 400, "invalid_request", "KEY=VALUE");
    table.get("/api/v1/runs?metadata.a=1&metadata=a%3D2", 400, "invalid_request", "a key twice");
    table.get("/api/v1/runs?stauts=failed", 400, "invalid_request", "unknown parameter \"stauts\"");
    table.get("/api/v1/me?x=1", 400, "invalid_request", "takes none");
    table.get(&format!("/api/v1/runs/{UNKNOWN_ID}?wait=-1"), 400, "invalid_request", "whole number");
    table.get(&format!("/api/v1/runs/{UNKNOWN_ID}"), 404, "not_found", "no such run");
    let events = format!("/api/v1/runs/{UNKNOWN_ID}/events");
    for after in ["-1", "1.5", "x", ""] {
        table.get(&format!("{events}?after={after}"), 400, "invalid_request", "after must be a whole number");
    }
    for limit in ["0", "501", "ten"] {
        table.get(&format!("{events}?limit={limit}"), 400, "invalid_request", "1 to 500");
    }
    table.get(&format!("{events}?deltas=yes"), 400, "invalid_request", "true or false");
    table.get(&format!("{events}?deltas=true"), 400, "invalid_request", "part of streams");
    table.get(&events, 404, "not_found", "no such run");
    table.get(&format!("{events}?cursor=x"), 400, "invalid_request", "known are: after, limit, deltas");
    streams(table, &events);
    table.get("/api/v1/runs/x", 404, "not_found", "no such run");
    table.get("/api/v1/apps/%00", 404, "not_found", "no such app");
    table.get("/api/v2", 404, "not_found", "no such path");
    let delete = table.request(Method::DELETE, "/api/v1/runs").bearer_auth(&table.stack.key);
    table.case("a wrong method", delete, 405, "method_not_allowed", "POST, GET, HEAD, OPTIONS");
}

fn streams(table: &mut Table<'_>, events: &str) {
    let key = table.stack.key.clone();
    let stream = |table: &Table<'_>, path: &str| {
        table.request(Method::GET, path).bearer_auth(&key).header("accept", "text/event-stream")
    };
    for last in ["-1", "x", "", "1, 2"] {
        let request = stream(table, events).header("last-event-id", last);
        table.case(format!("Last-Event-ID {last:?}"), request, 400, INVALID.1, "Last-Event-ID must be");
    }
    let twice = stream(table, events).header("last-event-id", "1").header("last-event-id", "2");
    table.case("Last-Event-ID twice", twice, 400, INVALID.1, "Last-Event-ID must be one");
    let limited = stream(table, &format!("{events}?limit=5"));
    table.case("a limit of a stream", limited, 400, INVALID.1, "limit is for pages");
    let unknown = stream(table, events);
    table.case("a stream of no run", unknown, 404, "not_found", "no such run");
    let other = table.request(Method::GET, events).bearer_auth(&key).header("accept", "text/html");
    table.case(
        "no form of the answer",
        other,
        406,
        "not_acceptable",
        "application/json or text/event-stream",
    );
    let delete = table.request(Method::DELETE, events).bearer_auth(&key);
    table.case("a method of no use", delete, 405, "method_not_allowed", "GET, HEAD, OPTIONS");
}
