//! A server that names the parameter it refuses is asked once more without it. The next run does not send
//! the parameter again.

use serde_json::{Value, json};

use super::super::case::{Case, anthropic, openai, responses};
use super::super::chat::{call, calls, done, messages, refusal, say, unsupported};
use super::super::server::Reply;
use super::super::{anthropic as claude, responses as items};
use super::{not_sent, sent};

/// The server refuses requests with this member. Two runs cost one refusal.
fn refuses(name: &str, member: &'static str, refusal: Reply) -> Case {
    openai(name)
        .refuses(move |body| body.pointer(member).is_some(), refusal, done())
        .twice()
        .asked(3)
        .check(not_sent(member))
}

/// The refusals of servers that check bodies with pydantic: vLLM, Mistral, LiteLLM.
fn forbidden(member: &str) -> Reply {
    let detail = json!({
        "type": "extra_forbidden", "loc": ["body", member], "msg": "Extra inputs are not permitted",
        "input": 1,
    });
    Reply::json(422, &json!({"detail": [detail]}))
}

/// Gemini's refusal of a member.
fn unknown_to_gemini(member: &str) -> Reply {
    let message = format!("Invalid JSON payload received. Unknown name \"{member}\": Cannot find field.");
    Reply::json(400, &json!([{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]))
}

pub(super) fn of_limits() -> Vec<Case> {
    let most = "max_output_tokens = 100";
    let newer = "token_parameter = \"max_completion_tokens\"";
    let old = unsupported(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
         'max_completion_tokens' instead.",
        "max_tokens",
    );
    let too_many = |words: &str| refusal(400, words);
    let fits = |case: Case, most: i64, words: &str| {
        let larger = move |body: &Value| body["max_tokens"].as_i64().is_some_and(|sent| sent > most);
        case.set("max_output_tokens = 100000").refuses(larger, too_many(words), done()).asked(2)
    };
    vec![
        // gpt-5, o3
        refuses("max-tokens-refused", "/max_tokens", old)
            .set(most)
            .check(sent("/max_completion_tokens", 100)),
        refuses("the-newer-limit-refused", "/max_completion_tokens", forbidden("max_completion_tokens"))
            .set(most)
            .set(newer),
        refuses(
            "the-newer-limit-unknown",
            "/max_completion_tokens",
            unknown_to_gemini("max_completion_tokens"),
        )
        .set(most)
        .set(newer),
        fits(
            openai("limit-above-the-most-of-openai"),
            16_384,
            "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas \
             you provided 100000.",
        ),
        fits(
            openai("limit-above-the-most-of-deepseek"),
            8192,
            "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        ),
        fits(
            openai("limit-above-the-most-of-groq"),
            32_768,
            "`max_tokens` must be less than or equal to `32768`, the maximum value for `max_tokens` is less \
             than the `context_window` for this model",
        ),
        // The conversation fits, the answer's limit does not.
        fits(
            openai("limit-above-the-window-of-vllm"),
            4000,
            "This model's maximum context length is 4096 tokens. However, you requested 100096 tokens (96 \
             in the messages, 100000 in the completion). Please reduce the length of the messages or \
             completion.",
        ),
    ]
}

pub(super) fn of_parameters() -> Vec<Case> {
    let effort = "reasoning_effort = \"low\"";
    let parallel = |name: &str, refusal: Reply| {
        refuses(name, "/parallel_tool_calls", refusal)
            .set("parallel_tool_calls = false")
            .tools(&["current_time"])
    };
    // The only step is the last one, so calls are switched off.
    let choice = |name: &str, refusal: Reply| {
        refuses(name, "/tool_choice", refusal)
            .app("limits", json!({"steps": 1}))
            .tools(&["current_time"])
            .check(sent("/tools/0/function/name", "current_time"))
    };
    let no_choice = unsupported("Unsupported value: 'tool_choice' does not support 'none'.", "tool_choice");
    let no_effort = unsupported(
        "Unsupported parameter: 'reasoning_effort' is not supported with this model.",
        "reasoning_effort",
    );
    let wrong_effort = unsupported(
        "Unsupported value: 'reasoning_effort' does not support 'low' with this model. Supported values \
         are: 'medium' and 'high'.",
        "reasoning_effort",
    );
    let options = "Unrecognized request argument supplied: stream_options";
    let format = |name: &str, refusal: Reply| {
        let refused = |body: &Value| body["response_format"]["type"] == "json_schema";
        openai(name)
            .wants_n()
            .refuses(refused, refusal, say("{\"n\": 4}"))
            .gives(json!({"n": 4}))
            .twice()
            .asked(3)
    };
    vec![
        refuses("stream-options-refused", "/stream_options", refusal(400, options)),
        refuses("stream-options-refused-by-mistral", "/stream_options", forbidden("stream_options")),
        refuses("stream-options-refused-by-gemini", "/stream_options", unknown_to_gemini("stream_options")),
        parallel("parallel-calls-refused", refusal(400, "Unknown parameter: 'parallel_tool_calls'.")),
        parallel("parallel-calls-forbidden", forbidden("parallel_tool_calls")),
        choice("tool-choice-refused", no_choice),
        choice("tool-choice-forbidden", forbidden("tool_choice")),
        choice("tool-choice-unknown", unknown_to_gemini("tool_choice")),
        refuses("effort-refused", "/reasoning_effort", no_effort).set(effort),
        refuses("effort-of-another-value", "/reasoning_effort", wrong_effort).set(effort),
        // DeepSeek
        format("response-format-refused", refusal(400, "This response_format type is unavailable now")),
        format(
            "response-format-refused-by-openai",
            unsupported(
                "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this \
                 model.",
                "response_format",
            ),
        ),
    ]
}

pub(super) fn of_roles() -> Vec<Case> {
    let role = |name: &str, refusal: Reply| {
        openai(name)
            .app("instructions", "Be brief.")
            .refuses(|body| body["messages"][0]["role"] == "system", refusal, done())
            .twice()
            .asked(3)
            .check(|seen| assert!(messages(seen.last()).iter().any(|m| m.to_string().contains("Be brief."))))
    };
    let o1 = unsupported(
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "messages[0].role",
    );
    let known_roles = "Invalid value: 'developer'. Supported values are: 'system', 'assistant', and 'user'.";
    vec![
        role("system-refused-by-o1", o1),
        // Gemma's template in vLLM and llama.cpp
        role("system-refused-by-a-template", refusal(400, "System role not supported")),
        openai("developer-refused")
            .app("instructions", "Be brief.")
            .set("instructions_role = \"developer\"")
            .refuses(|body| body["messages"][0]["role"] == "developer", refusal(400, known_roles), done())
            .twice()
            .asked(3),
    ]
}

pub(super) fn of_other_providers() -> Vec<Case> {
    let effort = unsupported(
        "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
        "reasoning.effort",
    );
    let include = unsupported("Encrypted content is not supported with this model.", "include");
    let too_many = claude::refusal(
        400,
        "invalid_request_error",
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for the-model",
    );
    let larger = |body: &Value| body["max_tokens"].as_i64().is_some_and(|sent| sent > 8192);
    let no_choice = claude::refusal(400, "invalid_request_error", "tool_choice: Input tag 'none' is unknown");
    vec![
        anthropic("messages-tool-choice-refused")
            .app("limits", json!({"steps": 1}))
            .tools(&["current_time"])
            .refuses(|body| body["tool_choice"]["type"] == "none", no_choice, claude::done())
            .twice()
            .asked(3),
        responses("responses-tool-choice")
            .app("limits", json!({"steps": 1}))
            .tools(&["current_time"])
            .replies([items::done()])
            .asked(1)
            .check(sent("/tool_choice", "none")),
        responses("responses-effort-refused")
            .set("reasoning_effort = \"low\"")
            .refuses(|body| body["reasoning"]["effort"].is_string(), effort, items::done())
            .twice()
            .asked(3),
        // Models that do not reason
        responses("responses-include-refused")
            .refuses(|body| body.get("include").is_some(), include, items::done())
            .twice()
            .asked(3),
        anthropic("messages-limit-above-the-most")
            .set("max_output_tokens = 100000")
            .refuses(larger, too_many, claude::done())
            .asked(2),
    ]
}

/// A server that is never content costs few requests.
pub(super) fn without_an_end() -> Vec<Case> {
    let always = |name: &str, reply: Reply| {
        openai(name).set("max_output_tokens = 100").replies([reply]).asked_at_most(4)
    };
    let named = unsupported("Unsupported parameter: 'max_tokens' is not supported.", "max_tokens");
    let no_tools = refusal(400, "registry.ollama.ai/library/gemma:latest does not support tools");
    let required = unsupported("Missing required parameter: 'safety_identifier'.", "safety_identifier");
    vec![
        always("the-same-refusal-again", named).fails("model_error", false, "max_tokens"),
        always("a-parameter-that-is-missing", required).asked(1).fails(
            "model_error",
            false,
            "safety_identifier",
        ),
        openai("tools-refused").tools(&["current_time"]).replies([no_tools]).asked(1).fails(
            "model_error",
            false,
            "tools",
        ),
        // A refusal that names a parameter in passing is no reason to leave out the tools.
        openai("a-refused-message")
            .tools(&["current_time"])
            .replies([calls([call("current_time", "{}")]), refusal(400, "Invalid 'messages[2].content'.")])
            .asked(2)
            .fails("model_error", false, "messages[2]"),
    ]
}
