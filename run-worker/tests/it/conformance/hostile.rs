//! Servers that do harm, by accident or not. Each case has an end in a short time and with little memory.

use serde_json::json;
use shared::testing::{Issuer, TlsServer};

use super::case::{Case, anthropic, openai};
use super::chat::{body, call, calls, delta, done, ended, finish, sse, text};
use super::server::{End, Reply};
use super::{anthropic as claude, harness};

#[tokio::test(flavor = "multi_thread")]
async fn hostile_servers_cannot_do_harm() {
    let tls =
        [certificate("expired", Issuer::Expired).await, certificate("self-signed", Issuer::Itself).await];
    let cases = [sizes(), counts(), repetitions(), tls.into()];
    harness::run(cases.into_iter().flatten().collect()).await;
}

/// Repeats the last event up to hundreds of megabytes.
fn endless(first: &str, repeated: &str) -> Reply {
    Reply::raw(first).then(repeated).ending(End::Repeat)
}

/// So many bytes of words that do not repeat themselves.
fn words(length: usize) -> String {
    let words = (0..length / 8).map(|n| format!("{n:07} "));
    words.collect()
}

fn sizes() -> Vec<Case> {
    let part = body([text(&words(64 << 10))]);
    let thought = body([delta(json!({"reasoning_content": words(64 << 10)}))]);
    let arguments = json!({"index": 0, "function": {"arguments": words(64 << 10)}});
    let begun = body([delta(json!({"tool_calls": [call("write_file", "{\"path\": \"")]}))]);
    let more = body([delta(json!({"tool_calls": [arguments]}))]);
    let no_end = Reply::new(200, "application/json", "{\"choices\": [").then(" ".repeat(64 << 10));
    let too_long = "output_limit_exceeded";
    let size = |name: &str, reply: Reply, codes: &'static str| {
        openai(name).tools(&["write_file"]).replies([reply]).asked_at_most(3).fails_with(codes, "")
    };
    vec![
        size("text-without-an-end", endless("", &part), too_long),
        size("thoughts-without-an-end", endless("", &thought), too_long),
        size("arguments-without-an-end", endless(&begun, &more), too_long),
        size(
            "an-event-of-5-megabytes",
            sse([text(&words(5 << 20)), finish("stop")]),
            "output_limit_exceeded|model_error",
        ),
        size("a-line-without-an-end", endless("data: ", &"x".repeat(64 << 10)), "model_error"),
        size("json-without-an-end", no_end.ending(End::Repeat), "model_error"),
        openai("headers-of-a-megabyte")
            .app("limits", json!({"seconds": 2}))
            .replies([done().header("x-odd", &"x".repeat(1 << 20))])
            // It is tried again, on a busy machine until the run's time is over.
            .completes_or_fails("model_error|model_unavailable|time_limit_exceeded"),
        openai("an-error-without-an-end").replies([error_without_end()]).asked(1).fails(
            "model_error",
            false,
            "400",
        ),
        openai("a-finish-reason-of-a-megabyte")
            .replies([ended("Done.", &"x".repeat(1 << 20))])
            .asked(3)
            .fails("model_error", true, "xxx"),
        anthropic("blocks-without-an-end")
            .replies([blocks_without_end()])
            .asked_at_most(3)
            .fails_with("output_limit_exceeded|model_error", ""),
    ]
}

fn error_without_end() -> Reply {
    Reply::new(400, "text/plain", "x".repeat(64 << 10)).ending(End::Repeat)
}

fn blocks_without_end() -> Reply {
    let block = claude::block(0, &claude::text(&"A megabyte is soon full. ".repeat(99)));
    endless(&body([claude::start()]), &body(block))
}

fn counts() -> Vec<Case> {
    let time = |index: usize| {
        json!({"index": index, "id": format!("call_{index}"), "type": "function",
            "function": {"name": "current_time", "arguments": "{}"}})
    };
    let at_once = json!((0..10_000).map(time).collect::<Vec<_>>());
    let choices: Vec<_> =
        (0..10_000).map(|index| json!({"index": index, "delta": {"content": "No."}})).collect();
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let many = |name: &str, reply: Reply| {
        openai(name).tools(&["current_time"]).replies([reply]).asked_at_most(3).fails_with("model_error", "")
    };
    vec![
        many("ten-thousand-calls", calls((0..10_000).map(time))),
        many(
            "ten-thousand-calls-at-once",
            sse([delta(json!({"tool_calls": at_once})), finish("tool_calls")]),
        ),
        openai("ten-thousand-choices")
            .replies([sse([json!({"choices": choices}), finish("stop")])])
            .completes_or_fails("model_error")
            .asked_at_most(3),
        openai("arguments-that-are-deep")
            .tools(&["list_files"])
            .replies([calls([call("list_files", &deep)]), done()])
            .check(|seen| assert_eq!(seen.results()[0]["isError"], true)),
        openai("ten-thousand-empty-events")
            .replies([sse(vec![delta(json!({})); 10_000].into_iter().chain([text("Done."), finish("stop")]))])
            .asked(1),
    ]
}

/// Small models, and large ones with a schema, may repeat themselves without an end.
fn repetitions() -> Vec<Case> {
    let says = |name: &str, passage: &str| {
        let case = openai(name).replies([endless("", &body([text(passage)]))]).asked_at_most(3);
        case.fails_with("model_error", "repeat")
    };
    let table = (0..2000).map(|row| format!("| {row} | x |")).collect::<Vec<_>>().join("\n");
    let rule = "-".repeat(4000);
    vec![
        says("repeats-a-letter", "a"),
        says("repeats-a-line", "I am sorry, but I cannot answer this question.\n"),
        says("repeats-newlines", "\n"),
        says("repeats-earlier-if-so-set", "No. ").set("max_repeated_bytes = 512"),
        // What looks like a repetition, and is none
        openai("a-long-table").replies([sse([text(&table), finish("stop")])]).completes(&table).asked(1),
        openai("a-long-rule").replies([sse([text(&rule), finish("stop")])]).completes(&rule).asked(1),
    ]
}

/// A server with such a certificate. Nothing else than a new certificate helps.
async fn certificate(name: &str, issuer: Issuer) -> Case {
    let server = TlsServer::start(issuer).await;
    openai(format!("certificate-{name}"))
        .at(server.url("https", "localhost") + "v1")
        .fails_with("model_unavailable|model_error", "certificate")
}
