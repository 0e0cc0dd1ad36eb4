//! Streams of events, and errors in the middle of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::case::{Case, anthropic, openai, responses};
use super::chat::{body, counted, delta, done, finish, sse, text};
use super::server::{End, Reply};
use super::{anthropic as claude, harness, responses as items};

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_read_as_servers_write_them() {
    let cases = [framing(), odd_events(), bytes(), errors(), other_providers()];
    harness::run(cases.into_iter().flatten().collect()).await;
}

/// The text `Done.` in two chunks.
fn events() -> [Value; 4] {
    [text("Do"), text("ne."), finish("stop"), counted()]
}

fn stream() -> String {
    body(events()) + "data: [DONE]\n\n"
}

/// The stream in other bytes.
fn reads(name: &str, stream: impl Into<Vec<u8>>) -> Case {
    openai(name).replies([Reply::raw(stream)]).asked(1)
}

/// An answer that is repeated, because the first reply is none.
fn again(name: &str, reply: Reply) -> Case {
    openai(name).replies([reply, done()]).asked(2)
}

fn framing() -> Vec<Case> {
    let stream = stream();
    let pretty = events().map(|event| {
        let pretty = format!("{event:#}");
        let lines = pretty.lines().map(|line| format!("data: {line}\n"));
        lines.collect::<String>() + "\n"
    });
    let no_last_line = format!("{}data: [DONE]", body(events()));
    let named = events().map(|event| format!("id: 7\nretry: 10\nevent: message\nx: y\ndata: {event}\n\n"));
    let comments = stream.replace("data:", ": OPENROUTER PROCESSING\n\n: ping\ndata:");
    vec![
        reads("stream-with-a-bom", format!("\u{feff}{stream}")),
        reads("stream-with-crlf", stream.replace('\n', "\r\n")),
        reads("stream-with-cr", stream.replace('\n', "\r")),
        reads("stream-without-spaces", stream.replace("data: ", "data:")),
        reads("stream-with-two-spaces", stream.replace("data: ", "data:  ")),
        reads("stream-with-comments", comments),
        reads("stream-with-lines", pretty.concat() + "data: [DONE]\n\n"),
        reads("stream-with-names", named.concat() + "data: [DONE]\n\n"),
        reads("stream-with-more-empty-lines", stream.replace("\n\n", "\n\n\n\n")),
        reads("stream-with-two-ends", format!("{stream}data: [DONE]\n\n")),
        reads("stream-with-more-after-its-end", format!("{stream}{}", body([text("More.")]))),
        reads("stream-without-its-marker", body(events())),
        reads("stream-without-its-last-line", no_last_line),
        reads("stream-with-a-marker-with-spaces", format!("{}data:  [DONE] \n\n", body(events()))),
        openai("stream-byte-by-byte").replies([Reply::raw(stream.clone()).in_pieces_of(1)]).asked(1),
        // The client must not wait for the end of the connection.
        openai("stream-that-stays-open").replies([Reply::raw(stream.clone()).ending(End::Hold)]).asked(1),
        openai("stream-cut-behind-its-marker").replies([Reply::raw(stream).ending(End::Cut)]).asked(1),
    ]
}

fn odd_events() -> Vec<Case> {
    let [first, second, end, last] = events();
    let with = |name: &str, odd: Value| {
        let events = [first.clone(), odd, second.clone(), end.clone(), last.clone()];
        openai(name).replies([sse(events)]).asked(1)
    };
    let empty = format!("data:\n\n{}data: \n\ndata: [DONE]\n\n", body(events()));
    vec![
        with("event-without-choices", json!({"id": "c"})),
        with("event-with-null-for-choices", json!({"choices": null, "usage": null, "error": null})),
        with("event-with-no-choice", json!({"choices": [null]})),
        with("event-with-an-object-for-choices", json!({"choices": {}})),
        with("event-with-a-null-delta", json!({"choices": [{"index": 0, "delta": null}]})),
        with("event-with-an-odd-delta", delta(json!({"content": {"a": 1}, "tool_calls": "none"}))),
        with("event-with-an-empty-error", json!({"error": {}, "choices": []})),
        with("event-that-pings", json!({"type": "ping"})),
        with("event-that-is-a-list", json!([])),
        with("event-of-another-choice", json!({"choices": [{"index": 1, "delta": {"content": "No."}}]})),
        // Azure's filter results come first.
        with("event-of-a-filter", json!({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]})),
        reads("event-without-data", empty),
        again("event-that-is-no-json", Reply::raw("data: {\"choices\": [{\"delta\"\n\n")),
        again("event-of-deep-json", Reply::raw(format!("data: {}\n\n", "[".repeat(100_000)))),
    ]
}

fn bytes() -> Vec<Case> {
    let accents = stream().replace("Do", "Dö\u{1f600}");
    let surrogates = stream().replace("Do", "\\ud83d\\ude00");
    let lone = stream().replace("Do", "\\ud83d");
    let mut invalid = stream().into_bytes();
    let at = invalid.windows(2).position(|two| two == b"Do").unwrap();
    invalid[at + 1] = 0xff;
    vec![
        openai("utf8-split").replies([Reply::raw(accents).in_pieces_of(1)]).completes("Dö\u{1f600}ne."),
        reads("utf8-invalid", invalid).completes("D\u{fffd}ne."),
        reads("surrogates", surrogates).completes("\u{1f600}ne."),
        reads("surrogate-alone", lone).completes("\u{fffd}ne."),
    ]
}

/// Errors after the first words. They are the server's, so the request is repeated.
fn errors() -> Vec<Case> {
    let after = |name: &str, error: Value| again(name, Reply::raw(body([text("Half"), error])));
    let overloaded = json!({"message": "The server is overloaded.", "type": "overloaded_error"});
    let named = "event: error\ndata: {\"message\": \"Internal server error\", \"code\": 500}\n\n";
    let routed = json!({
        "id": "gen-1", "object": "chat.completion.chunk",
        "error": {"code": "server_error", "message": "Provider disconnected unexpectedly"},
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
    });
    vec![
        after("error-with-a-code", json!({"error": {"message": "No capacity.", "code": 503}})),
        after("error-with-a-code-as-text", json!({"error": {"message": "No capacity.", "code": "503"}})),
        after("error-with-a-type", json!({"error": overloaded})),
        after("error-as-text", json!({"error": "Server overloaded, please try again"})),
        // vLLM
        after("error-as-object", json!({"object": "error", "message": "Worker died", "code": 500})),
        after("error-at-openrouter", routed),
        after("error-of-a-rate", json!({"error": {"message": "Rate limit reached", "code": 429}})),
        again("error-with-a-name", Reply::raw(body([text("Half")]) + named)),
        again("error-in-json-with-200", Reply::json(200, &json!({"error": {"message": "x", "code": 503}}))),
        again("reset-in-the-middle", Reply::raw(body([text("Half")])).ending(End::Reset)),
        again("cut-in-the-middle", Reply::raw(body([text("Half")])).ending(End::Cut)),
        again("cut-in-an-event", Reply::raw("data: {\"choices\": [{\"del").ending(End::Cut)),
        again("no-response", Reply::none(End::Cut)),
        again("reset-before-a-response", Reply::none(End::Reset)),
        again("stalled", Reply::raw(body([text("Half")])).ending(End::Hold)).set("timeout_seconds = 3"),
        again("stalled-before-a-byte", Reply::none(End::Hold)).set("timeout_seconds = 3"),
        // A timeout that only counts bytes never ends these two.
        again("one-byte-now-and-then", drip(&stream())).set("timeout_seconds = 3"),
        again("only-comments", only_comments()).set("timeout_seconds = 3"),
    ]
}

fn drip(stream: &str) -> Reply {
    Reply::raw(stream).in_pieces_of(1).pausing(Duration::from_millis(900)).ending(End::Hold)
}

fn only_comments() -> Reply {
    Reply::raw(": wait\n\n").pausing(Duration::from_millis(300)).ending(End::Repeat)
}

fn other_providers() -> Vec<Case> {
    let begun = || vec![claude::start(), claude::block(0, &claude::text("Half"))[0].clone()];
    let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "Overloaded"}});
    let with = |odd: Value| {
        let block = claude::block(0, &claude::text("Done."));
        let events = [vec![claude::start(), odd], block, claude::end("end_turn").to_vec()];
        claude::sse(events.concat())
    };
    let claude_again = |name: &str, events: Vec<Value>| {
        anthropic(name).replies([claude::sse(events), claude::done()]).asked(2)
    };
    let failed = json!({"type": "error", "code": "server_error", "message": "x", "param": null});
    let half = [items::message("Half")];
    vec![
        claude_again(
            "messages-overloaded-in-the-middle",
            [begun(), vec![error("overloaded_error")]].concat(),
        ),
        claude_again("messages-failed-in-the-middle", [begun(), vec![error("api_error")]].concat()),
        anthropic("messages-with-pings").replies([with(json!({"type": "ping"}))]).asked(1),
        anthropic("messages-with-new-events").replies([with(json!({"type": "weather", "x": 1}))]).asked(1),
        responses("responses-failed-in-the-middle")
            .replies([items::sse([items::begun(&half), vec![failed]].concat()), items::done()])
            .asked(2),
        responses("responses-with-new-events")
            .replies([items::sse(
                [vec![json!({"type": "response.weather"})], items::begun(&[items::message("Done.")])]
                    .concat()
                    .into_iter()
                    .chain([completed()]),
            )])
            .asked(1),
        // A proxy that keeps only the last event
        responses("responses-only-completed").replies([items::sse([completed()])]).asked(1),
    ]
}

fn completed() -> Value {
    let usage = json!({"input_tokens": 11, "output_tokens": 7});
    let response = json!({
        "id": "resp_1", "status": "completed", "error": null, "output": [items::message("Done.")],
        "usage": usage,
    });
    json!({"type": "response.completed", "response": response})
}
