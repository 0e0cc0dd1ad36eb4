//! The protocols of model servers. Each makes a request from the conversation, and reads the answer from its
//! events. The assembly of an answer, the table of refusals, and HTTP are shared and lie outside.

mod anthropic;
mod kept;
mod openai;
mod responses;

use serde_json::Value;
use shared::config::{ModelSettings, Provider as Protocol};

use super::assemble::Assembly;
use super::{Message, Offered};

pub(crate) trait Provider: Send + Sync {
    /// Appended to `base_url`, without a slash at the start.
    fn path(&self) -> &'static str;

    /// The headers with the key, and others that every request has.
    fn headers(&self, key: Option<&str>) -> Vec<(&'static str, String)>;

    fn body(&self, request: &Outgoing<'_>) -> Value;

    /// Adds an event of the stream, or the whole body of an answer that is not streamed. It ignores unknown
    /// events and fields. A field that is not needed never makes an answer unusable.
    fn add(&self, event: &Value, assembly: &mut Assembly) -> Result<(), Failure>;
}

/// What the body of a request is made of.
pub(crate) struct Outgoing<'r> {
    /// Includes all corrections.
    pub(crate) settings: &'r ModelSettings,
    /// From [`super::replay`]. Notes may follow results or other user messages.
    pub(crate) messages: &'r [Message],
    /// Their parameters always have properties.
    pub(crate) tools: &'r [Offered<'r>],
    /// Only if the server is to enforce it.
    pub(crate) schema: Option<&'r Value>,
    pub(crate) max_tokens: Option<u32>,
    /// Whether calls are switched off. Only with tools.
    pub(crate) no_calls: bool,
}

/// The server reports an error inside its answer: its error object.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) Value);

/// `None` for the demo model, which has no server.
pub(crate) fn of(protocol: Protocol) -> Option<&'static dyn Provider> {
    match protocol {
        Protocol::Openai => Some(&openai::Openai),
        Protocol::OpenaiResponses => Some(&responses::Responses),
        Protocol::Anthropic => Some(&anthropic::Anthropic),
        Protocol::Demo => None,
    }
}

/// Whether a member `error` reports one. Some servers send an empty one with each event.
fn is_error(error: &Value) -> bool {
    match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    }
}

/// The header of most servers.
fn bearer(key: Option<&str>) -> Vec<(&'static str, String)> {
    key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
}

/// A picture as a `data:` URL. The picture is copied once.
fn data_url(picture: &super::Picture) -> String {
    ["data:", &picture.media_type, ";base64,", &picture.base64].concat()
}
