//! OpenAI's Responses API, which xAI, vLLM, Ollama, LM Studio and llama.cpp also have. The server stores
//! nothing: each request holds the whole conversation, with the encrypted reasoning.

mod body;
mod events;

use serde_json::{Map, Value, json};

use crate::assemble::Assembly;
use crate::provider::{Failure, Outgoing, Provider, bearer};

pub(crate) struct Responses;

/// The member of an answer's reasoning that holds the items with encrypted reasoning.
const ITEMS: &str = "items";
/// The member that says whether the text is the final answer or a comment before calls. Models that send it
/// answer worse if it does not come back.
const PHASE: &str = "phase";

impl Provider for Responses {
    fn path(&self) -> &'static str {
        "responses"
    }

    fn headers(&self, key: Option<&str>) -> Vec<(&'static str, String)> {
        bearer(key)
    }

    fn body(&self, request: &Outgoing<'_>) -> Value {
        body::body(request)
    }

    fn add(&self, event: &Value, assembly: &mut Assembly) -> Result<(), Failure> {
        events::add(event, assembly)
    }
}

/// The reasoning item in the form in which a server takes it back. A server that stores nothing does not know
/// its `id`. It cannot use an item without encrypted content.
fn replayable(item: &Value) -> Option<Value> {
    let encrypted = item["encrypted_content"].as_str().filter(|encrypted| !encrypted.is_empty())?;
    let mut replayed = Map::new();
    replayed.insert("type".to_owned(), json!("reasoning"));
    let summary = item.get("summary").filter(|summary| summary.is_array());
    replayed.insert("summary".to_owned(), summary.cloned().unwrap_or_else(|| json!([])));
    replayed.insert("encrypted_content".to_owned(), json!(encrypted));
    Some(Value::Object(replayed))
}
