//! One request to a model, independent of any protocol.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::Message;

#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    pub messages: &'r [Message],
    /// In alphabetical order, so that the beginning of each request of a run is the same.
    pub tools: &'r [Offered<'r>],
    /// The JSON Schema of the answer, if the server is to enforce it.
    pub schema: Option<&'r Value>,
    /// The most tokens of the answer, where a limit is known.
    pub max_tokens: Option<u32>,
    pub tool_choice: ToolChoice,
}

/// Whether the model may call tools in its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// The model answers without calls. The tools stay in the request, so its beginning stays the same.
    None,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'r> {
    pub name: &'r str,
    pub description: &'r str,
    /// JSON Schema of an object.
    pub parameters: &'r Value,
}

impl Request<'_> {
    /// Bytes of everything that the model reads.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let messages: usize = self.messages.iter().map(Message::bytes).sum();
        messages + overhead(self.tools, self.schema)
    }
}

/// Bytes of the tools and the schema.
#[must_use]
pub fn overhead(tools: &[Offered<'_>], schema: Option<&Value>) -> usize {
    let tools =
        tools.iter().map(|tool| tool.name.len() + tool.description.len() + tool.parameters.to_string().len());
    tools.sum::<usize>() + schema.map_or(0, |schema| schema.to_string().len())
}

/// The parameter of a tool that has none: some servers refuse an object without properties.
pub const UNUSED_PARAMETER: &str = "unused";

/// The parameters of a tool in a form that all servers take.
pub(crate) fn harmless(parameters: &Value) -> Cow<'_, Value> {
    let has_none = parameters["properties"].as_object().is_none_or(Map::is_empty);
    let mut harmless = Cow::Borrowed(parameters);
    if has_none && parameters.is_object() {
        let unused = json!({"type": "string", "description": "Leave it out: the tool needs nothing."});
        harmless.to_mut()["properties"] = json!({UNUSED_PARAMETER: unused});
    }
    harmless
}
