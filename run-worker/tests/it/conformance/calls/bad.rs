//! Calls that cannot be made. The result of the call says why, and the next request is still valid.

use serde_json::{Value, json};

use super::super::case::{Case, Seen};
use super::super::chat::{call, call_with, calls, delta, finish, replayed, sse};
use super::asks;

/// The call has an error as its result, with these words in it.
fn told(words: &'static str) -> impl Fn(&Seen) {
    move |seen| {
        let results = seen.results();
        assert!(results.len() == 1 && results[0]["isError"] == true, "{results:?}");
        let content = results[0]["content"].as_str().unwrap();
        assert!(content.contains(words), "{words:?} is not in {content:?}");
    }
}

/// The arguments of the call as the second request has them.
fn sent_back(seen: &Seen) -> &Value {
    &replayed(seen.body(1))[0]["tool_calls"][0]["function"]["arguments"]
}

pub(super) fn cases() -> Vec<Case> {
    let written = |arguments: &str| calls([call("write_file", arguments)]);
    let cut = sse([delta(json!({"tool_calls": [call("write_file", "{\"path\": \"a")]})), finish("length")]);
    vec![
        // A server that reads the history refuses such arguments.
        asks("quotes-not-escaped", written(r#"{"path": "a", "content": "echo "hi""}"#))
            .check(told("JSON"))
            .check(|seen| assert_eq!(sent_back(seen), "{}")),
        asks("arguments-cut", written("{\"path\": \"a")).check(told("JSON")),
        asks("arguments-as-list", written("[1]")).check(told("JSON object")),
        asks("arguments-with-nul", written("{\"path\": \"\\u0000\", \"content\": \"\"}"))
            .check(told("U+0000")),
        asks("arguments-of-another-type", written(r#"{"path": 7, "content": "x"}"#)).check(told("path")),
        asks("arguments-with-a-missing-member", written(r#"{"path": "a"}"#)).check(told("content")),
        // gpt-oss
        asks("name-with-a-token", calls([call("shell<|channel|>commentary", "{}")]))
            .check(told("There is no tool")),
        asks("name-of-no-tool", calls([call("search", "{}")])).check(told("There is no tool")),
        asks("name-with-dots", calls([call("repo.browser/open file", "{}")])).check(told("There is no tool")),
        asks("name-empty", calls([call("", "{}")])).check(told("There is no tool")),
        asks("name-of-a-megabyte", calls([call(&"n".repeat(1 << 20), "{}")])).check(told("There is no tool")),
        asks("name-in-another-script", calls([call("読む", "{}")])).check(told("There is no tool")),
        asks("id-of-a-megabyte", calls([call_with("search", "{}", &json!({"id": "i".repeat(1 << 20)}))]))
            .check(told("There is no tool")),
        asks("cut-in-a-call", cut)
            .fails("token_limit_exceeded", false, "length")
            .check(|seen| assert!(seen.results().is_empty())),
    ]
}
