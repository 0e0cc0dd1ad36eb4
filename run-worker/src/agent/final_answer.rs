//! Reads calls of two special kinds. A call of the tool `final_answer` holds the result, for models that
//! follow a schema only there. A call that a model wrote into its text becomes a tool call. Pure.

use model_client::{Answer, MAX_ANSWER_BYTES, Offered, Written, find_written_calls};
use serde_json::{Map, Value, json};
use shared::config::{ModelSettings, StructuredOutput};
use shared::text::CleanText;

/// No tool of capi has this name.
const NAME: &str = "final_answer";
const DESCRIPTION: &str = "Gives the final answer. Call it once, alone, when the work is done.";
/// The parameter that holds an answer which is no object.
const WRAPPED: &str = "result";

/// The tool that takes the answer.
pub(super) struct FinalAnswer {
    parameters: Value,
    is_wrapped: bool,
}

impl FinalAnswer {
    /// The tool for an app's schema, if the model's settings ask for one.
    pub(super) fn of(schema: &Value, settings: &ModelSettings) -> Option<Self> {
        if !Self::is_wanted(settings) {
            return None;
        }
        let is_wrapped = schema["type"] != "object";
        let parameters = if is_wrapped { wrapped(schema) } else { schema.clone() };
        Some(Self { parameters, is_wrapped })
    }

    /// Whether the model gives its final answer with the tool.
    pub(super) fn is_wanted(settings: &ModelSettings) -> bool {
        settings.structured_output == StructuredOutput::Tool && settings.tools
    }

    pub(super) fn offered(&self) -> Offered<'_> {
        Offered { name: NAME, description: DESCRIPTION, parameters: &self.parameters }
    }

    /// The answer in the arguments of a call.
    fn text(&self, arguments: &str) -> String {
        let wrapped = || serde_json::from_str::<Map<String, Value>>(arguments).ok()?.remove(WRAPPED);
        let unwrapped = if self.is_wrapped { wrapped() } else { None };
        unwrapped.map_or_else(|| arguments.to_owned(), |value| value.to_string())
    }
}

/// The schema as that of a parameter. References begin at the root, so what they name stays there.
fn wrapped(schema: &Value) -> Value {
    let mut inner = schema.clone();
    let mut outer = json!({"type": "object", "required": [WRAPPED]});
    for name in ["$defs", "definitions"] {
        if let Some(definitions) = inner.as_object_mut().and_then(|members| members.remove(name)) {
            outer[name] = definitions;
        }
    }
    outer["properties"] = json!({WRAPPED: inner});
    outer
}

/// What the instructions say about the tool.
pub(super) const INSTRUCTIONS: &str = "When the work is done, call the tool final_answer with your answer.";

/// The answer as it is recorded: calls in the text become calls, and the final answer becomes the text. Calls
/// that the model may only quote stay text: what it read must not choose what it does. `is_last`: other calls
/// are switched off.
pub(super) fn read(
    mut answer: Answer,
    tools: &[Offered<'_>],
    (final_answer, is_last): (Option<&FinalAnswer>, bool),
    is_data: impl Fn(&str) -> bool,
) -> Answer {
    if answer.calls.is_empty()
        && !tools.is_empty()
        && let Written::Calls { calls, text, written } = find_written_calls(&answer.text, tools)
        && !is_data(&written)
    {
        answer.calls = calls;
        answer.text = CleanText::new(&text, MAX_ANSWER_BYTES);
    }
    if let Some(tool) = final_answer
        && let Some(at) = answer.calls.iter().rposition(|call| call.name == NAME)
    {
        let call = answer.calls.remove(at);
        answer.calls.retain(|call| call.name != NAME && !is_last);
        // A final answer beside other calls is too early: the model gives it again after their results.
        if answer.calls.is_empty() {
            answer.text = CleanText::new(&tool.text(&call.arguments), MAX_ANSWER_BYTES);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_client::Call;

    fn answer(text: &str, calls: &[(&str, &str)]) -> Answer {
        let call = |(name, arguments): &(&str, &str)| Call {
            id: "a".to_owned(),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
            extra: None,
        };
        Answer {
            text: CleanText::new(text, 999),
            reasoning: None,
            calls: calls.iter().map(call).collect(),
            finish_reason: "tool_calls".to_owned(),
            usage: None,
        }
    }

    fn tool(schema: Value) -> FinalAnswer {
        let is_wrapped = schema["type"] != "object";
        FinalAnswer { parameters: schema, is_wrapped }
    }

    #[test]
    fn the_final_answer_is_the_text() {
        let object = tool(json!({"type": "object"}));
        let read_text = |tool: &FinalAnswer, calls: &[(&str, &str)]| {
            let read = read(answer("Done.", calls), &[tool.offered()], (Some(tool), false), |_| false);
            (read.text.to_string(), read.calls.len())
        };
        assert_eq!(read_text(&object, &[(NAME, "{\"n\":1}")]), ("{\"n\":1}".to_owned(), 0));
        assert_eq!(read_text(&object, &[(NAME, "{\"n\":1}"), ("shell", "{}")]), ("Done.".to_owned(), 1));
        assert_eq!(read_text(&object, &[(NAME, "{}"), (NAME, "{\"n\":1}")]), ("{\"n\":1}".to_owned(), 0));
        let too_early = answer("Done.", &[(NAME, "{\"n\":1}"), ("shell", "{}")]);
        let at_the_end = read(too_early, &[object.offered()], (Some(&object), true), |_| false);
        assert_eq!(
            (&*at_the_end.text, at_the_end.calls.len()),
            ("{\"n\":1}", 0),
            "it is not too early at the end"
        );
        let list = tool(json!({"type": "array"}));
        assert_eq!(read_text(&list, &[(NAME, "{\"result\":[1]}")]), ("[1]".to_owned(), 0));
        assert_eq!(read_text(&list, &[(NAME, "[1]")]), ("[1]".to_owned(), 0));
    }

    #[test]
    fn references_of_a_wrapped_schema_still_resolve() {
        let schema =
            json!({"type": "array", "items": {"$ref": "#/$defs/row"}, "$defs": {"row": {"type": "null"}}});
        let wrapped = wrapped(&schema);
        assert_eq!(wrapped["$defs"]["row"]["type"], "null");
        assert_eq!(
            wrapped["properties"][WRAPPED],
            json!({"type": "array", "items": {"$ref": "#/$defs/row"}})
        );
    }

    #[test]
    fn written_calls_are_calls() {
        let written = answer("Now.\n<tool_call>{\"name\": \"shell\"}</tool_call>", &[]);
        let object = tool(json!({"type": "object"}));
        let read = read(written.clone(), &[object.offered()], (None, false), |_| false);
        assert_eq!((&*read.text, read.calls.len()), ("Now.", 1));
        assert_eq!(
            super::read(written.clone(), &[], (None, false), |_| false),
            written,
            "an app without tools"
        );
        let quoted =
            super::read(written.clone(), &[object.offered()], (None, false), |text| text.contains("shell"));
        assert_eq!(quoted, written, "a page said so");
    }
}
