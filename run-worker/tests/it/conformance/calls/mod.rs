//! Tool calls as servers of chat completions send them.

mod bad;
mod forms;

use serde_json::{Value, json};

use super::case::{Case, Seen, openai};
use super::chat::{call, call_with, calls, delta, done, finish, sse, text};
use super::harness;
use super::server::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_odd_servers_are_made() {
    let cases = [arguments(), numbering(), shapes(), bad::cases(), forms::cases()];
    harness::run(cases.into_iter().flatten().collect()).await;
}

/// The model calls a tool in this way, and then it is done.
fn asks(name: &str, reply: Reply) -> Case {
    openai(name).tools(&["write_file", "read_file", "list_files", "current_time"]).replies([reply, done()])
}

/// All calls were made, so many.
fn made(count: usize) -> impl Fn(&Seen) {
    move |seen| {
        let results = seen.results();
        assert_eq!(results.len(), count, "{results:?}");
        assert!(results.iter().all(|result| result["isError"] == false), "{results:?}");
    }
}

fn time(arguments: &str) -> Value {
    call("current_time", arguments)
}

fn write(path: &str, members: &Value) -> Value {
    call_with("write_file", &json!({"path": path, "content": "x"}).to_string(), members)
}

fn arguments() -> Vec<Case> {
    let file = json!({"path": "a", "content": "x"});
    let twice = json!(file.to_string()).to_string();
    let (first, second) = twice.split_at(9);
    let mut as_object = call("write_file", "");
    as_object["function"]["arguments"] = file.clone();
    let mut null = time("");
    null["function"]["arguments"] = Value::Null;
    let mut absent = time("");
    absent["function"].as_object_mut().unwrap().remove("arguments");
    let rest = |arguments: &str| json!({"index": 0, "function": {"arguments": arguments}});
    let letters = file.to_string().chars().map(|c| rest(&c.to_string())).collect::<Vec<_>>();
    let read = json!({"path": "a", "from_line": null, "lines": null}).to_string();
    vec![
        // llama.cpp
        asks("arguments-empty", calls([time("")])).check(made(1)),
        asks("arguments-blank", calls([time(" \n")])).check(made(1)),
        asks("arguments-null", calls([null])).check(made(1)),
        asks("arguments-null-text", calls([time("null")])).check(made(1)),
        asks("arguments-absent", calls([absent])).check(made(1)),
        // Ollama's own form
        asks("arguments-as-object", calls([as_object])).check(made(1)),
        asks("arguments-encoded-twice", calls([call("write_file", &twice)])).check(made(1)),
        asks("arguments-encoded-twice-in-pieces", calls([call("write_file", first), rest(second)]))
            .check(made(1)),
        // vLLM with some parsers
        asks("arguments-after-an-empty-object", calls([call("write_file", "{}"), rest(&file.to_string())]))
            .check(made(1)),
        asks("arguments-letter-by-letter", calls([vec![call("write_file", "")], letters].concat()))
            .check(made(1)),
        asks("arguments-with-null-for-absent", calls([write("a", &json!({}))]))
            .replies([calls([write("a", &json!({}))]), calls([call("read_file", &read)]), done()])
            .check(|seen| assert_eq!(seen.results()[0]["isError"], false, "{:?}", seen.results())),
    ]
}

/// Which pieces belong to one call.
fn numbering() -> Vec<Case> {
    let f = |arguments: &str| json!({"name": "write_file", "arguments": arguments});
    let [a, b] = ["a", "b"].map(|path| json!({"path": path, "content": "x"}).to_string());
    let halves = |index: i64, whole: &str, id: &str| {
        let (first, second) = whole.split_at(whole.len() / 2);
        [
            json!({"index": index, "id": id, "type": "function", "function": f(first)}),
            json!({"index": index, "function": {"arguments": second}}),
        ]
    };
    let ([a1, a2], [b1, b2]) = (halves(0, &a, "1"), halves(1, &b, "2"));
    let two = |name: &str, first: &Value, second: &Value| {
        asks(name, calls([write("a", first), write("b", second)])).check(made(2))
    };
    let both = json!([write("a", &json!({"id": ""})), write("b", &json!({"id": ""}))]);
    let repeated = |piece: &Value, arguments: &str| {
        let mut repeated = piece.clone();
        repeated["function"]["arguments"] = json!(arguments);
        repeated
    };
    vec![
        // Gemini
        two("index-0-and-no-id-for-all", &json!({"id": ""}), &json!({"id": ""})),
        two("index-0-for-all", &json!({"id": "1"}), &json!({"id": "2"})),
        two("no-index", &json!({"index": null, "id": "1"}), &json!({"index": null, "id": "2"})),
        two("no-index-and-no-id", &json!({"index": null, "id": null}), &json!({"index": null, "id": null})),
        two("index-as-text", &json!({"index": "0", "id": "1"}), &json!({"index": "1", "id": "2"})),
        two("one-id-for-all", &json!({"index": 0, "id": "x"}), &json!({"index": 1, "id": "x"})),
        two("an-id-that-is-a-number", &json!({"index": 0, "id": 7}), &json!({"index": 1, "id": 8})),
        asks("both-in-one-chunk", sse([delta(json!({"tool_calls": both})), finish("tool_calls")]))
            .check(made(2)),
        asks("pieces-mixed", calls([a1.clone(), b1.clone(), b2.clone(), a2.clone()])).check(made(2)),
        asks("indexes-from-five", calls(halves(5, &a, "1").into_iter().chain(halves(9, &b, "2"))))
            .check(made(2)),
        // Some proxies repeat id and name in each piece.
        asks(
            "name-in-each-piece",
            calls([a1.clone(), repeated(&a1, a2["function"]["arguments"].as_str().unwrap())]),
        )
        .check(made(1)),
    ]
}

/// Where the calls are.
fn shapes() -> Vec<Case> {
    let whole = json!({"role": "assistant", "content": null, "tool_calls": [time("{}")]});
    let choice = |members: Value| json!({"choices": [members]});
    let both = choice(json!({
        "index": 0, "delta": {"tool_calls": [time("{}")]}, "message": {"role": "assistant", "content": ""},
        "finish_reason": "tool_calls",
    }));
    let empty = choice(json!({
        "index": 0, "delta": {}, "message": whole, "finish_reason": "tool_calls", "logprobs": {"x": [1]},
    }));
    let not_streamed = choice(json!({"index": 0, "message": whole, "finish_reason": "tool_calls"}));
    let first_words = sse([text("I look."), delta(json!({"tool_calls": [time("")]})), finish("tool_calls")]);
    let object = delta(json!({"tool_calls": time("{}")}));
    let numbered = delta(json!({"tool_calls": {"0": time("{}")}}));
    let bare = json!({"index": 0, "id": "1", "function": {"name": "current_time", "arguments": "{}"}});
    vec![
        asks("message-and-delta", sse([both])).check(made(1)),
        asks("message-beside-an-empty-delta", sse([empty])).check(made(1)),
        asks("calls-as-object", sse([object, finish("tool_calls")])).check(made(1)),
        asks("calls-as-numbered-object", sse([numbered, finish("tool_calls")])).check(made(1)),
        asks("call-in-a-whole-answer", Reply::json(200, &not_streamed)).check(made(1)),
        asks("call-without-a-type", calls([bare])).check(made(1)),
        asks("call-with-words-before", first_words).check(made(1)),
        asks(
            "call-with-blank-words",
            sse([text("\n\n"), delta(json!({"tool_calls": [time("{}")]})), finish("tool_calls")]),
        )
        .check(made(1)),
        // Ollama, older vLLM
        asks("call-with-the-reason-stop", sse([delta(json!({"tool_calls": [time("{}")]})), finish("stop")]))
            .check(made(1)),
        asks("call-without-a-reason", sse([delta(json!({"tool_calls": [time("{}")]}))])).check(made(1)),
        asks(
            "call-with-the-old-reason",
            sse([delta(json!({"tool_calls": [time("{}")]})), finish("function_call")]),
        )
        .check(made(1)),
        asks(
            "null-between-calls",
            sse([delta(json!({"tool_calls": [null, time("{}"), null]})), finish("tool_calls")]),
        )
        .check(made(1)),
    ]
}
