//! How servers of chat completions refuse a conversation for its length.

use serde_json::{Value, json};

use super::super::chat::{refusal, sse, text};
use super::super::server::Reply;
use super::{ASKED, WINDOW};

fn coded(status: u16, code: &str, message: &str) -> Reply {
    let error = json!({"message": message, "type": "invalid_request_error", "code": code});
    Reply::json(status, &json!({"error": error}))
}

/// With the numbers that the server knows.
pub(super) fn of_llama_cpp() -> Value {
    json!({
        "code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": ASKED, "n_ctx": WINDOW,
        "message": "the request exceeds the available context size, try increasing it",
    })
}

pub(super) fn of_vllm() -> String {
    format!(
        "This model's maximum context length is {WINDOW} tokens. However, your request has {ASKED} input \
         tokens. Please reduce the length of the input messages."
    )
}

/// Each with the name of its server.
pub(super) fn all() -> Vec<(&'static str, Reply)> {
    let llama = of_llama_cpp();
    let vllm = json!({"object": "error", "message": of_vllm(), "type": "BadRequestError", "code": 400});
    let openai = "Your input exceeds the context window of this model.";
    let groq = "Please reduce the length of the messages or completion.";
    let groq_minute = format!(
        "Request too large for model `m` on tokens per minute (TPM): Limit {WINDOW}, Requested {ASKED}, \
         please reduce your message size and try again."
    );
    let openrouter = format!(
        "This endpoint's maximum context length is {WINDOW} tokens. However, you requested about {ASKED} \
         tokens ({ASKED} of text input). Please reduce the length of either one."
    );
    let together =
        format!("Input validation error: `inputs` must have less than {WINDOW} tokens. Given: {ASKED}");
    vec![
        ("llama-cpp", Reply::json(400, &json!({"error": llama}))),
        ("vllm", Reply::json(400, &vllm)),
        ("openai", coded(400, "context_length_exceeded", openai)),
        ("gemini", gemini()),
        ("mistral", mistral()),
        ("groq", coded(400, "context_length_exceeded", groq)),
        // Its limit of a minute is smaller than the request.
        ("groq-with-a-small-plan", coded(413, "rate_limit_exceeded", &groq_minute)),
        ("tgi", tgi()),
        ("together", refusal(422, &together)),
        ("openrouter", refusal(400, &openrouter)),
        ("ollama", refusal(400, "the input length exceeds the context length")),
        ("a-stream", sse([text(""), json!({"error": llama})])),
    ]
}

fn gemini() -> Reply {
    let message =
        format!("The input token count ({ASKED}) exceeds the maximum number of tokens allowed ({WINDOW}).");
    Reply::json(400, &json!([{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": message}}]))
}

fn mistral() -> Reply {
    let message = format!(
        "Prompt contains {ASKED} tokens and 0 draft tokens, too large for model with {WINDOW} maximum \
         context length"
    );
    let error =
        json!({"object": "error", "type": "invalid_request_error", "code": "3051", "message": message});
    Reply::json(400, &error)
}

fn tgi() -> Reply {
    let error = format!(
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= {WINDOW}. Given: {ASKED} \
         `inputs` tokens and 0 `max_new_tokens`"
    );
    Reply::json(422, &json!({"error": error, "error_type": "validation"}))
}
