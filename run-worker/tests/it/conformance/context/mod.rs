//! Conversations that are too long. These servers count two bytes a token, as for digits, and they count
//! right.

mod words;

use serde_json::{Value, json};

use super::case::{Case, anthropic, openai, responses};
use super::chat::{call, delta, done, finish, messages, refusal, sse, text, usage};
use super::server::{Reply, Request};
use super::{anthropic as claude, harness, responses as items};

/// The window of the servers below, in tokens, and what they say was sent.
const WINDOW: usize = 18_000;
const ASKED: usize = 21_000;
/// Bytes of the file that the runs write and read. Written and read once, it is too long for the window.
const FILE_BYTES: usize = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn long_conversations_are_shortened() {
    let both = |(name, reply): (&str, Reply)| [hopeless(name, reply.clone()), shortened(name, reply)];
    let of_words: Vec<_> = words::all().into_iter().flat_map(both).collect();
    let cases = [of_words, other_providers(), learned(), measured()];
    harness::run(cases.into_iter().flatten().collect()).await;
}

fn digits() -> String {
    let rows = (0..FILE_BYTES / 100).map(|row| format!("{row:099}\n"));
    rows.collect()
}

fn write() -> Value {
    json!({"path": "a", "content": digits()})
}

fn tokens(request: &Request) -> usize {
    request.body.to_string().len() / 2
}

/// The number of results of tools in a request.
fn results(body: &Value) -> usize {
    messages(body).iter().filter(|message| message["role"] == "tool").count()
}

/// The model writes the file, reads it so many times, and is done.
fn served(request: &Request, window: usize, reads: usize, refusal: &Reply) -> Reply {
    let tokens = tokens(request);
    if tokens > window {
        return refusal.clone();
    }
    let used = usage(json!({"prompt_tokens": tokens, "completion_tokens": 10}));
    let asks = |name: &str, arguments: &Value| {
        let piece = call(name, &arguments.to_string());
        sse([delta(json!({"tool_calls": [piece]})), finish("tool_calls"), used.clone()])
    };
    match results(&request.body) {
        0 => asks("write_file", &write()),
        results if results <= reads => asks("read_file", &json!({"path": "a"})),
        _ => sse([text("Done."), finish("stop"), used]),
    }
}

fn files(case: Case) -> Case {
    case.tools(&["read_file", "write_file"])
}

/// Nothing can be shortened.
fn hopeless(name: &str, reply: Reply) -> Case {
    let case = openai(format!("too-long-for-{name}")).replies([reply]).asked_at_most(2);
    case.fails("context_length_exceeded", false, "")
}

/// The result of a tool is shortened, and the model asked once more.
fn shortened(name: &str, refusal: Reply) -> Case {
    files(openai(format!("shortened-for-{name}")))
        .serve(move |request| served(request, WINDOW, 1, &refusal))
        .asked(4)
        .check(|seen| assert_eq!(results(seen.last()), 2))
}

fn other_providers() -> Vec<Case> {
    let invalid = "invalid_request_error";
    let long = format!("prompt is too long: {ASKED} tokens > {WINDOW} maximum");
    let large = claude::refusal(413, "request_too_large", "Request exceeds the maximum size");
    let exceeds = "Your input exceeds the context window of this model. Please adjust your input.";
    let of_responses =
        json!({"message": exceeds, "type": invalid, "param": "input", "code": "context_length_exceeded"});
    let claude_asks = |request: &Request, name: &str, input: Value| {
        let block = claude::block(0, &claude::tool_use(&format!("toolu_{name}"), name, input));
        let start = claude::start_with(&json!({"input_tokens": tokens(request), "output_tokens": 1}));
        claude::sse([vec![start], block, claude::end("tool_use").to_vec()].concat())
    };
    let claude_case = |name: &str, refusal: Reply| {
        let case = files(anthropic(name)).serve(move |request| match request.number {
            0 => claude_asks(request, "write_file", write()),
            1 => claude_asks(request, "read_file", json!({"path": "a"})),
            _ if tokens(request) > WINDOW => refusal.clone(),
            _ => claude::done(),
        });
        case.asked(4)
    };
    let items_ask = |request: &Request, name: &str, arguments: &Value| {
        let call = items::function_call(name, name, &arguments.to_string());
        items::answer_with(&[call], &json!({"input_tokens": tokens(request), "output_tokens": 10}))
    };
    let items_case = files(responses("responses-too-long")).serve(move |request| match request.number {
        0 => items_ask(request, "write_file", &write()),
        1 => items_ask(request, "read_file", &json!({"path": "a"})),
        _ if tokens(request) > WINDOW => Reply::json(400, &json!({"error": of_responses})),
        _ => items::done(),
    });
    let hopeless = |case: Case, reply: Reply| {
        case.replies([reply]).asked_at_most(2).fails("context_length_exceeded", false, "")
    };
    let in_stream = items::failed("context_length_exceeded", exceeds);
    vec![
        claude_case("messages-too-long", claude::refusal(400, invalid, &long)),
        claude_case("messages-too-large", large),
        hopeless(anthropic("messages-hopeless"), claude::refusal(400, invalid, &long)),
        items_case.asked(4),
        hopeless(responses("responses-too-long-in-the-stream"), in_stream),
    ]
}

/// The refusal names the window. The next run does not exceed it.
fn learned() -> Vec<Case> {
    let case = |name: &str, refusal: Reply| {
        files(openai(name)).serve(move |request| served(request, WINDOW, 1, &refusal)).twice().asked(7)
    };
    let llama = json!({"error": words::of_llama_cpp()});
    vec![
        case("window-learnt-from-llama-cpp", Reply::json(400, &llama)),
        case("window-learnt-from-vllm", refusal(400, &words::of_vllm())),
    ]
}

/// An estimate of four bytes a token is too small here.
fn measured() -> Vec<Case> {
    const LARGER_WINDOW: usize = 32_000;
    let case = |name: &str| {
        let refusal = refusal(400, "the request exceeds the available context size, try increasing it");
        files(openai(name))
            .app("limits", json!({"tokens": 1_000_000}))
            .serve(move |request| served(request, LARGER_WINDOW, 4, &refusal))
            .check(|seen| assert_eq!(results(seen.last()), 5))
    };
    vec![
        // The counts of the first answers correct the estimate, so no request is refused.
        case("digits-in-a-known-window").set(&format!("context_window = {LARGER_WINDOW}")).asked(6),
        case("digits-in-an-unknown-window").asked_at_most(9),
        openai("a-prompt-that-fills-the-window")
            .set("context_window = 2000\nmax_output_tokens = 500")
            .app("prompt", digits())
            .replies([done()])
            .completes_or_fails("context_length_exceeded")
            .asked_at_most(1),
    ]
}
