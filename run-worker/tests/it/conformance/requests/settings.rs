//! Settings of servers of chat completions.

use serde_json::{Value, json};

use super::super::case::{Case, Seen, openai};
use super::super::chat::{call, calls, done, finish, messages, replayed, say, sse, text};
use super::super::server::Reply;
use super::{not_sent, sent};

/// The model answers at once.
fn answers(name: &str) -> Case {
    openai(name).replies([done()]).asked(1)
}

pub(super) fn cases() -> Vec<Case> {
    let whole = json!({"choices": [{"message": {"role": "assistant", "content": "Done."},
        "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
    let effort = "reasoning_effort = \"low\"";
    let extra = "extra_body = { temperature = 0.5, chat_template_kwargs = { enable_thinking = false } }";
    let brief = |name: &str| answers(name).app("instructions", "Be brief.");
    vec![
        answers("no-limit-is-known").check(not_sent("/max_tokens")).check(not_sent("/max_completion_tokens")),
        answers("a-limit-is-known").set("max_output_tokens = 100").check(sent("/max_tokens", 100)),
        answers("the-newer-limit")
            .set("max_output_tokens = 100\ntoken_parameter = \"max_completion_tokens\"")
            .check(sent("/max_completion_tokens", 100)),
        answers("no-limit-is-sent")
            .set("max_output_tokens = 100\ntoken_parameter = \"none\"")
            .check(not_sent("/max_tokens"))
            .check(not_sent("/max_completion_tokens")),
        answers("a-stream-that-counts")
            .check(sent("/stream", true))
            .check(sent("/stream_options/include_usage", true)),
        answers("a-stream-that-does-not-count")
            .set("stream_usage = false")
            .check(not_sent("/stream_options")),
        answers("no-stream")
            .set("stream = false")
            .replies([Reply::json(200, &whole)])
            .check(|seen| assert_ne!(seen.last()["stream"], true))
            .check(not_sent("/stream_options")),
        brief("instructions-of-system").check(sent("/messages/0/role", "system")),
        brief("instructions-of-developer")
            .set("instructions_role = \"developer\"")
            .check(sent("/messages/0/role", "developer")),
        brief("instructions-of-user").set("instructions_role = \"user\"").check(|seen| {
            let [only] = messages(seen.last()) else { panic!("{}", seen.last()) };
            let content = only["content"].to_string();
            assert!(content.contains("Be brief.") && content.contains("Go."), "{content}");
        }),
        answers("effort").set(effort).check(sent("/reasoning_effort", "low")),
        answers("no-effort").check(not_sent("/reasoning_effort")),
        answers("extra-body")
            .set(extra)
            .check(sent("/temperature", 0.5))
            .check(sent("/chat_template_kwargs/enable_thinking", false)),
        // What the operator writes wins.
        answers("extra-body-wins")
            .set("max_output_tokens = 100\nextra_body = { max_tokens = 7 }")
            .check(sent("/max_tokens", 7)),
        answers("extra-headers")
            .set("extra_headers = { X-Title = \"capi\" }")
            .check(|seen| assert_eq!(seen.requests[0].headers["x-title"], "capi")),
        answers("no-parallel-calls-is-said").tools(&["current_time"]).check(not_sent("/parallel_tool_calls")),
        answers("parallel-calls-are-off")
            .set("parallel_tool_calls = false")
            .tools(&["current_time"])
            .check(sent("/parallel_tool_calls", false)),
        // OpenAI refuses the parameter where no tools are sent.
        answers("parallel-calls-without-tools")
            .set("parallel_tool_calls = false")
            .check(not_sent("/parallel_tool_calls"))
            .check(not_sent("/tools")),
        // The strict server checks the order, and that no schema is without properties (Gemini).
        answers("tools-in-order").tools(&["write_file", "current_time", "list_files", "edit_file"]),
    ]
}

fn has_schema(body: &Value) -> bool {
    body["response_format"]["type"] == "json_schema"
}

/// The conversation holds the schema in words.
fn tells_schema(seen: &Seen) {
    let told = messages(seen.last()).iter().filter_map(|message| message["content"].as_str());
    assert!(told.collect::<String>().contains("\"required\""), "{}", seen.last());
}

/// The server answers at once, with what the schema asks for.
fn n(name: &str) -> Case {
    openai(name).wants_n().replies([say("{\"n\": 4}")]).gives(json!({"n": 4})).asked(1)
}

/// How a server is asked for a schema.
pub(super) fn of_schemas() -> Vec<Case> {
    let time = || calls([call("current_time", "{}")]);
    let last = || calls([call("final_answer", "{\"n\": 4}")]);
    let final_tool = "structured_output = \"tool\"";
    vec![
        n("schema-by-response-format").check(|seen| assert!(has_schema(seen.last()))),
        n("schema-by-json-object")
            .set("structured_output = \"json_object\"")
            .check(sent("/response_format", json!({"type": "json_object"})))
            .check(tells_schema)
            .check(|seen| assert!(seen.last()["messages"].to_string().contains("JSON"))),
        n("schema-by-words")
            .set("structured_output = \"words\"")
            .check(not_sent("/response_format"))
            .check(tells_schema),
        n("schema-by-the-old-setting")
            .set("json_schema = false")
            .check(not_sent("/response_format"))
            .check(tells_schema),
        n("schema-by-a-tool").set(final_tool).replies([last()]).check(not_sent("/response_format")).check(
            |seen| {
                let function = &seen.last()["tools"][0]["function"];
                assert_eq!(function["name"], "final_answer");
                assert_eq!(function["parameters"]["properties"]["n"]["type"], "integer");
            },
        ),
        n("schema-by-a-tool-among-others")
            .set(final_tool)
            .tools(&["current_time"])
            .replies([time(), last()])
            .asked(2),
        n("schema-by-a-tool-that-is-not-called").set(final_tool).replies([say("```json\n{\"n\": 4}\n```")]),
        n("schema-by-a-tool-with-a-wrong-value")
            .set(final_tool)
            .replies([calls([call("final_answer", "{\"n\": \"four\"}")]), last()])
            .asked(2),
    ]
}

/// How a server with tools is asked for a schema, and one that ignores it.
pub(super) fn of_tools_and_schemas() -> Vec<Case> {
    let both = |body: &Value| body.get("tools").is_some() && body.get("response_format").is_some();
    let time = || calls([call("current_time", "{}")]);
    vec![
        // Several servers refuse both in one request, others never call a tool then.
        n("schema-and-tools-apart")
            .tools(&["current_time"])
            .serve(move |request| match (both(&request.body), replayed(&request.body).len()) {
                (true, _) => Reply::json(400, &json!({"error": {"message": "Not supported together."}})),
                (false, 0) => calls([call("current_time", "{}")]),
                (false, 1) if !has_schema(&request.body) => say("It is four."),
                (false, _) => say("{\"n\": 4}"),
            })
            .asked_at_most(3),
        n("schema-and-tools-together")
            .set("tools_with_schema = true")
            .tools(&["current_time"])
            .replies([time(), say("{\"n\": 4}")])
            .asked(2)
            .check(move |seen| assert!(seen.requests.iter().all(|request| both(&request.body)))),
        n("schema-ignored")
            .replies([say("It is four."), say("{\"n\": 4}")])
            .asked(2)
            .check(tells_schema)
            .check(|seen| assert_eq!(seen.notes(), ["repair"])),
        n("schema-ignored-twice").replies([say("It is four.")]).asked(2).fails(
            "invalid_result",
            true,
            "schema",
        ),
        n("schema-and-thinking").replies([sse([
            text("<think>{\"n\": 1}</think>"),
            text("{\"n\": 4}"),
            finish("stop"),
        ])]),
    ]
}
