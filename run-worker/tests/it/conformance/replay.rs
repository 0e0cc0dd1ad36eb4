//! What the model said goes back as it came.

use serde_json::{Value, json};

use super::case::{Case, anthropic, openai, responses};
use super::chat::{call, call_with, calls, delta, done, finish, replayed, sse, text};
use super::server::Reply;
use super::{anthropic as claude, harness, responses as items};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_model_said_goes_back() {
    let cases = [chat(), prefixes(), responses_items(), anthropic_blocks()];
    harness::run(cases.into_iter().flatten().collect()).await;
}

/// The model calls a tool after these deltas, and then it is done.
fn thinks(name: &str, deltas: impl IntoIterator<Item = Value>) -> Case {
    let call = delta(json!({"tool_calls": [call("current_time", "{}")]}));
    let events = deltas.into_iter().map(delta).chain([call, finish("tool_calls")]);
    let reply = sse(events.collect::<Vec<_>>());
    openai(name).tools(&["current_time"]).replies([reply, done()])
}

/// The member of the answer that is sent back has this value.
fn sends(member: &'static str, value: Value) -> impl Fn(&super::case::Seen) {
    move |seen| assert_eq!(replayed(seen.body(1))[0].get(member), Some(&value), "{member}")
}

fn chat() -> Vec<Case> {
    let signature = json!({"google": {"thought_signature": "c2ln"}});
    let signed = call_with("current_time", "{}", &json!({"extra_content": signature}));
    let unsigned = call_with("current_time", "{}", &json!({"index": 1, "id": "call_2"}));
    let expected = signature.clone();
    let detail = |text: &str| json!({"type": "reasoning.text", "text": text, "signature": null, "index": 0});
    let encrypted = json!({"type": "reasoning.encrypted", "data": "ZW5j", "id": "r1", "index": 1});
    let hm = json!({"reasoning_content": "Hm."});
    let routed = [
        json!({"reasoning": "Hm", "reasoning_details": [detail("Hm")]}),
        json!({"reasoning": ".", "reasoning_details": [encrypted]}),
    ];
    vec![
        // Gemini 3
        openai("signature-of-a-call")
            .tools(&["current_time"])
            .replies([calls([signed, unsigned]), done()])
            .check(move |seen| {
                let calls = &replayed(seen.body(1))[0]["tool_calls"];
                assert_eq!((&calls[0]["extra_content"], calls[1].get("extra_content")), (&expected, None));
            }),
        thinks("signature-of-an-answer", [json!({"extra_content": signature})])
            .set("returns_reasoning = true")
            .check(sends("extra_content", signature.clone())),
        // DeepSeek, Kimi
        thinks("reasoning-content", [json!({"reasoning_content": "H"}), json!({"reasoning_content": "m."})])
            .set("returns_reasoning = true")
            .check(sends("reasoning_content", json!("Hm."))),
        thinks("reasoning-content-empty", [json!({"reasoning_content": ""})])
            .set("returns_reasoning = true")
            .check(sends("reasoning_content", json!(""))),
        thinks("reasoning-content-not-wanted", [hm])
            .check(|seen| assert_eq!(replayed(seen.body(1))[0].get("reasoning_content"), None)),
        thinks("reasoning-details", routed).set("returns_reasoning = true").check(|seen| {
            let details = replayed(seen.body(1))[0]["reasoning_details"].as_array().unwrap();
            assert!(details.iter().any(|detail| detail["data"] == "ZW5j"), "{details:?}");
            assert!(details.iter().any(|detail| detail["text"] == "Hm"), "{details:?}");
        }),
        // MiniMax
        thinks("thinking-in-the-text", [json!({"content": "<think>\nHm.\n</think>\n\nI look."})])
            .set("returns_reasoning = true")
            .check(|seen| {
                let content = replayed(seen.body(1))[0]["content"].as_str().unwrap_or_default();
                assert!(
                    content.contains("<think>\nHm.\n</think>") && content.contains("I look."),
                    "{content}"
                );
            }),
        thinks("words-beside-a-call", [json!({"content": "I look."})])
            .check(sends("content", json!("I look."))),
        openai("a-wrong-answer-and-a-note")
            .wants_n()
            .replies([sse([text("Four."), finish("stop")]), sse([text("{\"n\": 4}"), finish("stop")])])
            .gives(json!({"n": 4}))
            .check(|seen| assert_eq!(replayed(seen.body(1))[0]["content"], "Four.")),
    ]
}

/// Each request begins with the one before, so the server can use its cache.
fn prefixes() -> Vec<Case> {
    let same = |messages: &'static str, fixed: &'static [&'static str]| {
        move |seen: &super::case::Seen| {
            for pair in seen.requests.windows(2) {
                let [before, after] = [&pair[0].body, &pair[1].body];
                let without_marks = |body: &Value| {
                    let mut messages = body[messages].clone();
                    remove_marks(&mut messages);
                    messages.as_array().cloned().unwrap_or_default()
                };
                let (before_list, after_list) = (without_marks(before), without_marks(after));
                assert_eq!(before_list, after_list[..before_list.len()]);
                for member in fixed {
                    assert_eq!(before[member].to_string(), after[member].to_string(), "{member}");
                }
            }
        }
    };
    let time = || calls([call("current_time", "{}")]);
    let all = ["write_file", "save_artifact", "current_time"];
    vec![
        openai("prefix-of-chat")
            .app("instructions", "Be brief.")
            .tools(&all)
            .replies([time(), time(), time(), done()])
            .check(same("messages", &["tools"])),
        responses("prefix-of-responses")
            .app("instructions", "Be brief.")
            .tools(&all)
            .replies([items::ask_time(), items::ask_time(), items::ask_time(), items::done()])
            .check(same("input", &["tools", "instructions"])),
        anthropic("prefix-of-messages")
            .app("instructions", "Be brief.")
            .tools(&all)
            .replies([claude::ask_time(), claude::ask_time(), claude::ask_time(), claude::done()])
            .check(same("messages", &["tools", "system"])),
    ]
}

/// The breakpoints of the cache move with the conversation.
fn remove_marks(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("cache_control");
            members.values_mut().for_each(remove_marks);
        }
        Value::Array(values) => values.iter_mut().for_each(remove_marks),
        _ => {}
    }
}

fn responses_items() -> Vec<Case> {
    let thought = items::reasoning("abc");
    let asked = [thought.clone(), items::function_call("call_1", "current_time", "{}")];
    let mut commentary = items::message("I look.");
    commentary["phase"] = json!("commentary");
    let with_phase = [commentary, items::function_call("call_1", "current_time", "{}")];
    let (first, second) = (items::reasoning("one"), items::reasoning("two"));
    let mixed =
        [first, items::message("I look."), second, items::function_call("call_1", "current_time", "{}")];
    let calls = |name: &str, output: &[Value]| {
        responses(name).tools(&["current_time"]).replies([items::answer(output), items::done()])
    };
    vec![
        calls("responses-reasoning", &asked)
            .check(|seen| {
                let include = seen.body(0)["include"].as_array().cloned().unwrap_or_default();
                assert!(include.contains(&json!("reasoning.encrypted_content")), "{include:?}");
            })
            .check(move |seen| {
                let sent = items::items(seen.body(1), "reasoning");
                assert_eq!((sent.len(), &sent[0]["encrypted_content"]), (1, &thought["encrypted_content"]));
            }),
        calls("responses-phase", &with_phase).check(|seen| {
            let said = items::items(seen.body(1), "message");
            assert!(said.iter().any(|item| item["phase"] == "commentary"), "{said:?}");
        }),
        calls("responses-order", &mixed).check(|seen| {
            let sent = seen.body(1)["input"].as_array().cloned().unwrap_or_default();
            let marks = sent.iter().filter_map(|item| item["encrypted_content"].as_str());
            assert_eq!(marks.collect::<Vec<_>>(), ["one", "two"]);
            let at = |mark: &str| sent.iter().position(|item| item["encrypted_content"] == mark).unwrap();
            assert_eq!(sent[at("two") + 1]["type"], "function_call");
            assert!(sent[at("one") + 1].to_string().contains("I look."));
        }),
        calls("responses-arguments-empty", &[items::function_call("call_1", "current_time", "")])
            .check(|seen| assert_eq!(seen.results()[0]["isError"], false)),
        calls("responses-name-not-safe", &[items::function_call("call_1", "a b<|c|>", "{}")])
            .check(|seen| assert_eq!(seen.results()[0]["isError"], true)),
    ]
}

fn anthropic_blocks() -> Vec<Case> {
    let call = |id: &str| claude::tool_use(id, "current_time", json!({}));
    let redacted = json!({"type": "redacted_thinking", "data": "ZW5j"});
    let calls = |name: &str, blocks: &[Value]| {
        let (expected, reply) = (blocks.to_vec(), claude::answer(blocks, "tool_use"));
        anthropic(name)
            .tools(&["current_time"])
            .replies([reply, claude::done()])
            .check(move |seen| assert_eq!(claude::blocks(seen.body(1), 1), expected))
    };
    let thought = claude::thinking("Hm.", "c2ln");
    let again = claude::thinking("Hm, hm.", "c2ln2");
    let blank = [claude::text("\n\n"), call("toolu_1")];
    vec![
        calls("thinking", &[thought.clone(), call("toolu_1")]),
        calls("thinking-redacted", &[redacted, thought.clone(), call("toolu_1")]),
        calls("thinking-between-calls", &[thought.clone(), call("toolu_1"), again.clone(), call("toolu_2")]),
        calls("thinking-and-words", &[thought.clone(), claude::text("I look."), again, call("toolu_1")]),
        // Its text is empty, but the signature holds it.
        calls("thinking-omitted", &[claude::thinking("", "c2ln"), call("toolu_1")]),
        anthropic("blank-words-beside-a-call")
            .tools(&["current_time"])
            .replies([claude::answer(&blank, "tool_use"), claude::done()]),
        anthropic("an-id-that-is-not-safe")
            .tools(&["current_time"])
            .replies([claude::answer(&[call("call:1/é")], "tool_use"), claude::done()]),
        anthropic("a-name-that-is-not-safe")
            .tools(&["current_time"])
            .replies([bad_name(), claude::done()])
            .check(|seen| assert_eq!(seen.results()[0]["isError"], true)),
        anthropic("a-note-after-results")
            .app("limits", json!({"steps": 2}))
            .tools(&["current_time"])
            .replies([claude::ask_time(), claude::done()])
            .check(|seen| assert_eq!(seen.notes(), ["last_step"]))
            .check(|seen| assert_eq!(seen.body(1)["tool_choice"], json!({"type": "none"}))),
        openai("a-note-after-results-of-chat")
            .app("limits", json!({"steps": 2}))
            .tools(&["current_time"])
            .replies([calls_time(), done()])
            .check(|seen| assert_eq!(seen.notes(), ["last_step"]))
            .check(|seen| assert_eq!(seen.body(1)["tool_choice"], "none")),
    ]
}

fn bad_name() -> Reply {
    claude::answer(&[claude::tool_use("toolu_1", "a b<|c|>", json!({}))], "tool_use")
}

fn calls_time() -> Reply {
    calls([call("current_time", "{}")])
}
