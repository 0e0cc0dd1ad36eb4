//! The requests of the other two providers.

use serde_json::json;

use super::super::case::{Case, anthropic, responses};
use super::super::server::Reply;
use super::super::{anthropic as claude, responses as items};
use super::{not_sent, sent};

pub(super) fn cases() -> Vec<Case> {
    [of_responses(), of_messages()].into_iter().flatten().collect()
}

fn of_responses() -> Vec<Case> {
    let brief =
        |name: &str| responses(name).app("instructions", "Be brief.").replies([items::done()]).asked(1);
    let n = |name: &str| responses(name).wants_n().gives(json!({"n": 4}));
    let last = || items::answer(&[items::function_call("call_1", "final_answer", "{\"n\": 4}")]);
    vec![
        brief("responses-request")
            .set("max_output_tokens = 100\nreasoning_effort = \"low\"")
            .tools(&["current_time"])
            .check(sent("/stream", true))
            .check(sent("/store", false))
            .check(sent("/max_output_tokens", 100))
            .check(sent("/reasoning/effort", "low"))
            .check(sent("/tools/0/type", "function"))
            .check(sent("/tools/0/name", "current_time"))
            .check(|seen| assert!(seen.last().to_string().contains("Be brief."))),
        brief("responses-no-limit").check(not_sent("/max_output_tokens")),
        n("responses-schema")
            .replies([items::say("{\"n\": 4}")])
            .check(sent("/text/format/type", "json_schema"))
            .check(sent("/text/format/schema/properties/n/type", "integer")),
        n("responses-schema-by-a-tool").set("structured_output = \"tool\"").replies([last()]),
        brief("responses-not-streamed").set("stream = false").replies([whole()]),
        brief("responses-with-a-call")
            .tools(&["current_time"])
            .replies([items::ask_time(), items::done()])
            .asked(2)
            .check(|seen| {
                let results = items::items(seen.body(1), "function_call_output");
                assert_eq!((results.len(), &results[0]["call_id"]), (1, &json!("call_1")));
            }),
    ]
}

/// An answer that is not streamed.
fn whole() -> Reply {
    let usage = json!({"input_tokens": 11, "output_tokens": 7});
    let body = json!({
        "id": "resp_1", "object": "response", "status": "completed", "error": null,
        "output": [items::message("Done.")], "usage": usage,
    });
    Reply::json(200, &body)
}

fn of_messages() -> Vec<Case> {
    let brief =
        |name: &str| anthropic(name).app("instructions", "Be brief.").replies([claude::done()]).asked(1);
    let n = |name: &str| anthropic(name).wants_n().gives(json!({"n": 4}));
    let last = || claude::answer(&[claude::tool_use("toolu_1", "final_answer", json!({"n": 4}))], "tool_use");
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "content": [claude::text("Done.")],
        "stop_reason": "end_turn", "usage": {"input_tokens": 11, "output_tokens": 7},
    });
    vec![
        brief("messages-request")
            .set("max_output_tokens = 100\nreasoning_effort = \"low\"")
            .tools(&["current_time"])
            .check(sent("/stream", true))
            .check(sent("/max_tokens", 100))
            .check(sent("/output_config/effort", "low"))
            .check(sent("/tools/0/name", "current_time"))
            .check(not_sent("/stream_options"))
            .check(|seen| {
                assert!(seen.last()["system"].to_string().contains("Be brief."));
                assert!(seen.last().to_string().contains("cache_control"));
            }),
        // The parameter is required there.
        brief("messages-no-limit").check(|seen| assert!(seen.last()["max_tokens"].is_u64())),
        brief("messages-not-streamed").set("stream = false").replies([Reply::json(200, &body)]),
        n("messages-schema").replies([claude::say("{\"n\": 4}")]).check(|seen| {
            assert!(seen.last().to_string().contains("required"), "{}", seen.last());
        }),
        n("messages-schema-by-a-tool").set("structured_output = \"tool\"").replies([last()]),
        brief("messages-extra-headers")
            .set("extra_headers = { anthropic-beta = \"x\" }")
            .check(|seen| assert_eq!(seen.requests[0].headers["anthropic-beta"], "x")),
    ]
}
