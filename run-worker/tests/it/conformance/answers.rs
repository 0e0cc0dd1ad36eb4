//! Answers: their texts, and the words with which they end.

use serde_json::{Value, json};

use super::case::{Case, anthropic, openai, responses};
use super::chat::{body, call, calls, choice, delta, done, ended, finish, say, sse, text};
use super::server::Reply;
use super::{anthropic as claude, harness, responses as items};

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_whole_or_have_an_error() {
    let cases = [good_ends(), cut_ends(), broken_ends(), empty(), texts(), other_providers()];
    harness::run(cases.into_iter().flatten().collect()).await;
}

/// The first reply is no answer, the second one is.
fn again(name: &str, reply: Reply) -> Case {
    openai(name).replies([reply, done()]).asked(2)
}

fn good_ends() -> Vec<Case> {
    let words = [
        "stop",
        "STOP",
        "Stop",
        "end_turn",
        "stop_sequence",
        "eos",
        "eos_token",
        "completed",
        "tool_calls",
        "tool_use",
        "function_call",
    ];
    let ends = words.map(|word| openai(format!("good-end-{word}")).replies([ended("Done.", word)]).asked(1));
    let marked = sse([text("Done.")]);
    // The form of SGLang's own API
    let odd = sse([text("Done."), finish(json!({"type": "stop", "matched": 2})), finish("stop")]);
    let more = [
        openai("no-end-but-the-marker").replies([marked]).asked(1),
        openai("end-before-the-text").replies([sse([finish("stop"), text("Done.")])]).asked(1),
        openai("end-that-is-no-text").replies([odd]).asked(1),
        // An empty call beside an answer is none.
        openai("end-with-an-empty-call")
            .replies([sse([delta(json!({"content": "Done.", "tool_calls": [{}]})), finish("stop")])])
            .asked(1),
        openai("end-with-an-empty-old-call")
            .replies([sse([delta(json!({"content": "Done.", "function_call": {}})), finish("stop")])])
            .asked(1),
    ];
    ends.into_iter().chain(more).collect()
}

fn cut_ends() -> Vec<Case> {
    // The last ones are Mistral's and Anthropic's words for a full window.
    let lengths = [
        ("length", "token_limit_exceeded", "length"),
        ("max_tokens", "token_limit_exceeded", "length"),
        ("max_output_tokens", "token_limit_exceeded", "length"),
        ("MAX_TOKENS", "token_limit_exceeded", "length"),
        ("model_length", "context_length_exceeded", "context_window"),
        ("model_context_window_exceeded", "context_length_exceeded", "context_window"),
    ];
    let lengths = lengths.map(|(word, code, told)| {
        let case = openai(format!("cut-{word}")).replies([ended("The first half", word)]).asked(1);
        case.fails(code, false, told).check(|seen| assert_eq!(seen.run().result["text"], "The first half"))
    });
    let filters = ["content_filter", "SAFETY"];
    let filters = filters.map(|word| {
        let case = openai(format!("filtered-{word}")).replies([ended("The first half", word)]).asked(1);
        case.fails("model_refused", false, "")
    });
    lengths.into_iter().chain(filters).collect()
}

fn broken_ends() -> Vec<Case> {
    let cut = || Reply::raw(body([text("The first half")]));
    vec![
        // DeepSeek, when it is busy
        again("end-without-resources", ended("The first half", "insufficient_system_resource")),
        again("end-with-an-unknown-word", ended("The first half", "abandoned")),
        // OpenRouter
        again("end-with-an-error", ended("The first half", "error")),
        again("no-end-and-no-marker", cut()),
        openai("always-an-unknown-word").replies([ended("The first half", "abandoned")]).asked(3).fails(
            "model_error",
            true,
            "abandoned",
        ),
    ]
}

fn empty() -> Vec<Case> {
    let saved = json!({"title": "a.md", "content": "x"}).to_string();
    let save = calls([call("save_artifact", &saved)]);
    let saving = |name: &str| openai(name).tools(&["save_artifact"]);
    let thoughts = sse([delta(json!({"reasoning_content": "Hm."})), finish("stop")]);
    vec![
        again("empty-once", say("")),
        again("blank-once", say(" \n\t\n")),
        again("only-thoughts-once", thoughts),
        again("only-thoughts-in-the-text-once", say("<think>Hm.</think>\n")),
        again("no-choice-once", sse([json!({"choices": []})])),
        openai("always-empty").replies([say("")]).asked(3).fails("model_error", true, "empty"),
        saving("empty-after-an-artifact")
            .replies([save.clone(), say(""), done()])
            .check(|seen| assert_eq!((seen.notes(), seen.artifacts()), (vec!["closing"], 1))),
        saving("always-empty-after-an-artifact")
            .replies([save, say("")])
            .completes("")
            .check(|seen| assert_eq!((seen.notes(), seen.artifacts()), (vec!["closing"], 1))),
    ]
}

fn texts() -> Vec<Case> {
    let says = |name: &str, chunks: &[Value]| {
        let events: Vec<_> = chunks.iter().cloned().chain([finish("stop")]).collect();
        openai(name).replies([sse(events)]).asked(1)
    };
    let parts = json!([{"type": "text", "text": "Do"}, {"type": "text", "text": "ne."}]);
    let thought = json!([{"type": "text", "text": "Hm."}]);
    let magistral = json!([{"type": "thinking", "thinking": thought}, {"type": "text", "text": "Done."}]);
    let whole = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Done."},
        "finish_reason": "stop"}]});
    let refused = delta(json!({"refusal": "I will not."}));
    let odd = json!({"content": "Done.", "refusal": null, "audio": {"id": 1}, "tool_calls": null,
        "function_call": null, "annotations": "none", "reasoning": 7, "reasoning_details": {"a": 1}});
    vec![
        says("text-in-parts", &[delta(json!({"content": parts}))]),
        says("text-and-thinking-in-parts", &[delta(json!({"content": magistral}))]),
        says("text-in-a-message", &[choice("message", json!({"role": "assistant", "content": "Done."}))]),
        says("text-beside-odd-members", &[delta(odd)]),
        says("thinking-in-the-text", &[text("<think>Hm.</think>\n\nDone.")]),
        says("thinking-without-its-beginning", &[text("Hm.\n</think>\n\nDone.")]),
        says("thinking-in-pieces", &["<th", "ink>Hm", ".</thi", "nk>Do", "ne."].map(text)),
        says("no-thinking", &[text("A <b>x</b> & <think")]).completes("A <b>x</b> & <think"),
        says("text-with-nul", &[text("a\0b")]).completes("a\u{fffd}b"),
        openai("text-not-streamed").replies([Reply::json(200, &whole)]).asked(1),
        openai("text-not-streamed-in-pieces").replies([Reply::json(200, &whole).in_pieces_of(7)]).asked(1),
        says("refusal", std::slice::from_ref(&refused)).fails("model_refused", false, "i will not"),
        says("refusal-after-words", &[text("Well."), refused]).fails("model_refused", false, "i will not"),
    ]
}

fn other_providers() -> Vec<Case> {
    let half = [items::message("The first half")];
    let refused = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "refusal", "refusal": "I will not."}]});
    let claude_ends = |word: &str, text: &str| claude::answer(&[claude::text(text)], word);
    vec![
        responses("responses-cut").replies([items::incomplete(&half, "max_output_tokens")]).asked(1).fails(
            "token_limit_exceeded",
            false,
            "length",
        ),
        responses("responses-filtered").replies([items::incomplete(&half, "content_filter")]).asked(1).fails(
            "model_refused",
            false,
            "",
        ),
        responses("responses-refused").replies([items::answer(&[refused])]).asked(1).fails(
            "model_refused",
            false,
            "i will not",
        ),
        responses("responses-failed-once")
            .replies([items::failed("server_error", "The model failed."), items::done()])
            .asked(2),
        responses("responses-limited-once")
            .replies([items::failed("rate_limit_exceeded", "Slower."), items::done()])
            .asked(2),
        responses("responses-empty-once").replies([items::answer(&[]), items::done()]).asked(2),
        responses("responses-without-an-end-once")
            .replies([items::sse(items::begun(&half)), items::done()])
            .asked(2),
        anthropic("messages-cut").replies([claude_ends("max_tokens", "The first half")]).asked(1).fails(
            "token_limit_exceeded",
            false,
            "length",
        ),
        anthropic("messages-stop-sequence").replies([claude_ends("stop_sequence", "Done.")]).asked(1),
        anthropic("messages-window-is-full")
            .replies([claude_ends("model_context_window_exceeded", "The first half")])
            .fails("token_limit_exceeded|context_length_exceeded", false, ""),
        anthropic("messages-refused").replies([claude_ends("refusal", "The first half")]).asked(1).fails(
            "model_refused",
            false,
            "",
        ),
        anthropic("messages-empty-once").replies([claude::answer(&[], "end_turn"), claude::done()]).asked(2),
        anthropic("messages-cut-once").replies([claude_without_end(), claude::done()]).asked(2),
    ]
}

fn claude_without_end() -> Reply {
    let events = claude::block(0, &claude::text("The first half"));
    claude::sse([vec![claude::start()], events].concat())
}
