//! Probes of answers in JSON: without tools, and with tools.

use serde_json::{Map, Value, json};
use shared::config::{ModelSettings, StructuredOutput};

use super::report::{Finding, Outcome};
use super::tools::{NO_CALLS, NO_TOOLS, city, weather, with_result, with_written_calls};
use super::{ANSWER_TOKENS, Asker, Unheard, question};
use crate::{Answer, Message, ModelError, Offered, Request, ToolChoice, Words};

pub(super) const LEGS: &str = "How many legs has a spider?";
pub(super) const WARMTH: &str = "How warm is it in Lima? Call the tool get_weather before you answer.";
const WEATHER: &str = "Sunny, 21 degrees.";

/// The schema of an object that has one number.
fn number(name: &str) -> Value {
    json!({
        "type": "object", "properties": {name: {"type": "integer"}}, "required": [name],
        "additionalProperties": false,
    })
}

/// Whether the JSON in the text matches [`number`].
fn is_kept(text: &str, name: &str) -> bool {
    let begin = text.find('{').unwrap_or(text.len());
    let end = text.rfind('}').map_or(text.len(), |end| end + 1);
    let object = text.get(begin..end).and_then(|json| serde_json::from_str::<Map<String, Value>>(json).ok());
    object.is_some_and(|object| object.len() == 1 && object.get(name).is_some_and(Value::is_i64))
}

/// Asks as the agent does. Returns whether the answer matches the schema.
async fn keeps(asker: &Asker<'_>, way: StructuredOutput) -> Result<bool, ModelError> {
    let schema = number("legs");
    let instructions = match way {
        StructuredOutput::ResponseFormat => None,
        StructuredOutput::Tool => Some("Call the tool final_answer with your answer.".to_owned()),
        StructuredOutput::JsonObject | StructuredOutput::Words => {
            Some(format!("Answer only with JSON that matches this JSON Schema:\n{schema}"))
        }
    };
    let messages: Vec<_> = instructions.map(Message::System).into_iter().chain(question(LEGS)).collect();
    if way == StructuredOutput::Tool {
        let tool =
            Offered { name: "final_answer", description: "Gives the final answer.", parameters: &schema };
        let answer = with_written_calls(asker.ask(&messages, &[tool], None).await?, &[tool]);
        return Ok(answer.calls.first().is_some_and(|call| is_kept(&call.arguments, "legs")));
    }
    let is_sent = matches!(way, StructuredOutput::ResponseFormat | StructuredOutput::JsonObject);
    let answer = asker.ask(&messages, &[], is_sent.then_some(&schema)).await?;
    Ok(is_kept(&answer.text, "legs"))
}

pub(super) async fn alone(asker: &Asker<'_>, calls_tools: bool) -> Result<Finding, ModelError> {
    let wanted = asker.file.structured_output;
    // The agent does the same for a model without tools.
    let first =
        if wanted == StructuredOutput::Tool && !asker.file.tools { StructuredOutput::Words } else { wanted };
    let why = match keeps(asker, first).await {
        Ok(matches) if asker.client.settings().structured_output != wanted => {
            let why = format!("the server refuses {}", first.as_str());
            if matches {
                return Ok(Finding::works(format!("works, in words: {why}")));
            }
            why
        }
        Ok(true) => return Ok(Finding::works(format!("works, by {}", first.as_str()))),
        Ok(false) => format!("{} gave no matching answer", first.as_str()),
        Err(ModelError::Rejected(text)) => format!("the server refuses {}: {text}", first.as_str()),
        Err(error) => return Err(error),
    };
    let by_tool = calls_tools && first != StructuredOutput::Tool;
    let other = if by_tool { StructuredOutput::Tool } else { StructuredOutput::Words };
    if other == first {
        return Ok(Finding::unable(why));
    }
    let name = other.as_str();
    if keeps(asker, other).await? {
        let setting = format!("structured_output = {name:?}");
        return Ok(Finding::unable(format!("{why}, but {name} works")).with(Some(setting)));
    }
    Ok(Finding::unable(format!("{why}, and {name} does not work")))
}

/// Whether one request may hold tools and a schema, and the model still uses both.
pub(super) async fn with_tools(asker: &Asker<'_>, calls_tools: bool) -> Result<Finding, ModelError> {
    if !asker.file.tools {
        return Ok(Finding::not_tried(NO_TOOLS));
    }
    if !calls_tools {
        return Ok(Finding::not_tried(NO_CALLS));
    }
    let settings = ModelSettings { tools_with_schema: true, ..(*asker.client.settings()).clone() };
    if !settings.sends_schema(true) {
        let way = settings.structured_output.as_str();
        return Ok(Finding::not_tried(format!("structured_output = {way:?}")));
    }
    let outcome = try_together(asker, &settings).await?;
    let works = matches!(outcome, Outcome::Works(_));
    let is_new = works != asker.file.tools_with_schema;
    Ok(Finding::new(outcome).with(is_new.then(|| format!("tools_with_schema = {works}"))))
}

async fn try_together(asker: &Asker<'_>, settings: &ModelSettings) -> Result<Outcome, ModelError> {
    let (parameters, schema) = (city(), number("degrees"));
    let tools = weather(&parameters);
    let unable = |text: &str| Ok(Outcome::Unable(text.to_owned()));
    let mut messages = question(WARMTH);
    if settings.structured_output == StructuredOutput::JsonObject {
        let words = format!("Answer only with JSON that matches this JSON Schema:\n{schema}");
        messages.insert(0, Message::System(words));
    }
    let ask = async |messages: &[Message]| -> Result<Answer, ModelError> {
        let (schema, max_tokens) = (Some(&schema), Some(ANSWER_TOKENS));
        let request = Request { messages, tools: &tools, schema, max_tokens, tool_choice: ToolChoice::Auto };
        asker.client.try_under(settings, request, Words::new(&Unheard)).await
    };
    let first = match ask(&messages).await {
        Err(error @ ModelError::Rejected(_)) => return Ok(Outcome::Refused(error.to_string())),
        first => with_written_calls(first?, &tools),
    };
    if first.calls.is_empty() {
        return unable("the model calls no tool then; capi asks for one at a time");
    }
    messages.extend(with_result(first, WEATHER));
    let last = ask(&messages).await?;
    if is_kept(&last.text, "degrees") {
        return Ok(Outcome::Works("works".to_owned()));
    }
    unable("the answer does not match the schema then; capi asks for one at a time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_kept_by_one_integer() {
        for kept in ["{\"legs\": 8}", "```json\n{\"legs\":8}\n```", "It has: {\"legs\": 8}."] {
            assert!(is_kept(kept, "legs"), "{kept}");
        }
        for other in ["", "8", "{\"legs\": \"8\"}", "{\"legs\": 8, \"eyes\": 8}", "} {", "{\"arms\": 8}"] {
            assert!(!is_kept(other, "legs"), "{other}");
        }
    }
}
