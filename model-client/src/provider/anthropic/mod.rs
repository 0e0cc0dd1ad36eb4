//! Anthropic's Messages API, which vLLM, Ollama, llama.cpp and other servers also have.

mod body;
mod events;
mod schema;

use serde_json::Value;

use crate::assemble::Assembly;
use crate::provider::{Failure, Outgoing, Provider};

pub(crate) struct Anthropic;

/// The version of the API. Newer versions of a member are chosen in the body.
const VERSION: &str = "2023-06-01";
/// The member of an answer's reasoning that holds the thinking blocks.
const THINKING_BLOCKS: &str = "thinking_blocks";
/// The member of one of them that is the block itself.
const BLOCK: &str = "block";

impl Provider for Anthropic {
    fn path(&self) -> &'static str {
        "messages"
    }

    fn headers(&self, key: Option<&str>) -> Vec<(&'static str, String)> {
        let key = key.map(|key| ("x-api-key", key.to_owned()));
        key.into_iter().chain([("anthropic-version", VERSION.to_owned())]).collect()
    }

    fn body(&self, request: &Outgoing<'_>) -> Value {
        body::body(request)
    }

    fn add(&self, event: &Value, assembly: &mut Assembly) -> Result<(), Failure> {
        events::add(event, assembly)
    }
}

/// Whether it is thinking, which the server takes back only unchanged.
fn is_thinking(block: &Value) -> bool {
    block["type"] == "thinking" || block["type"] == "redacted_thinking"
}
