//! Makes the body of a request. Pure.

use serde_json::{Value, json};
use shared::config::StructuredOutput;

use super::{ITEMS, PHASE, replayable};
use crate::json::object;
use crate::provider::kept::{Part, parts};
use crate::provider::{Outgoing, data_url};
use crate::{Call, Message, Offered, Picture};

pub(super) fn body(request: &Outgoing<'_>) -> Value {
    let settings = request.settings;
    let mut body = json!({"model": settings.model, "store": false, "stream": settings.stream});
    body["input"] = input(request).into();
    // OpenAI rejects it for models that do not reason.
    if settings.returns_reasoning {
        body["include"] = json!(["reasoning.encrypted_content"]);
    }
    if let Some(most) = request.max_tokens {
        body["max_output_tokens"] = json!(most);
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(offer).collect();
        if let Some(parallel) = settings.parallel_tool_calls {
            body["parallel_tool_calls"] = json!(parallel);
        }
        if request.no_calls {
            body["tool_choice"] = json!("none");
        }
    }
    if let Some(effort) = &settings.reasoning_effort {
        body["reasoning"] = json!({"effort": effort});
    }
    if let Some(schema) = request.schema {
        let format = if settings.structured_output == StructuredOutput::JsonObject {
            json!({"type": "json_object"})
        } else {
            json!({"type": "json_schema", "name": "result", "schema": schema})
        };
        body["text"] = json!({"format": format});
    }
    body
}

/// Without `strict: false`, OpenAI treats a tool as strict and rejects most schemas.
fn offer(tool: &Offered<'_>) -> Value {
    json!({
        "type": "function", "name": tool.name, "description": tool.description,
        "parameters": tool.parameters, "strict": false,
    })
}

fn input(request: &Outgoing<'_>) -> Vec<Value> {
    let settings = request.settings;
    let mut items = Vec::new();
    for message in request.messages {
        match message {
            Message::System(text) => {
                let role = settings.instructions_role.as_str();
                items.push(json!({"type": "message", "role": role, "content": text}));
            }
            Message::User { text, pictures } => {
                items.push(asked(text, if settings.vision { pictures.as_slice() } else { &[] }));
            }
            Message::Assistant { text, reasoning, calls } => {
                let reasoning = reasoning.as_ref().filter(|_| settings.returns_reasoning);
                items.extend(answered(text, reasoning, calls));
            }
            Message::Tool { call, content } => {
                items.push(json!({"type": "function_call_output", "call_id": call, "output": content}));
            }
        }
    }
    items
}

fn asked(text: &str, pictures: &[Picture]) -> Value {
    if pictures.is_empty() {
        return json!({"type": "message", "role": "user", "content": text});
    }
    let words = (!text.trim().is_empty()).then(|| json!({"type": "input_text", "text": text}));
    let images = pictures.iter().map(|picture| {
        // vLLM rejects a picture without `detail`.
        let url = data_url(picture).into();
        object([("type", "input_image".into()), ("image_url", url), ("detail", "auto".into())])
    });
    let content = words.into_iter().chain(images).collect();
    object([("type", "message".into()), ("role", "user".into()), ("content", content)])
}

fn answered(said: &str, reasoning: Option<&Value>, calls: &[Call]) -> Vec<Value> {
    let phase = reasoning.and_then(|fields| fields.get(PHASE)).and_then(Value::as_str);
    let items = parts(reasoning, (ITEMS, "item"), said, calls).into_iter().filter_map(|part| match part {
        Part::Kept(item) => replayable(item),
        Part::Text(said) => Some(output_message(said, phase)),
        Part::Call(call) => Some(function_call(call)),
    });
    items.collect()
}

/// llama.cpp rejects an assistant's message whose content is a string, and vLLM one without annotations.
fn output_message(said: &str, phase: Option<&str>) -> Value {
    let content = json!([{"type": "output_text", "text": said, "annotations": []}]);
    let mut message = json!({"type": "message", "role": "assistant", "content": content});
    if let Some(phase) = phase {
        message["phase"] = json!(phase);
    }
    message
}

fn function_call(call: &Call) -> Value {
    let mut item = call.extra.clone().unwrap_or_default();
    let own = [
        ("type", "function_call"),
        ("call_id", call.id.as_str()),
        ("name", call.name.as_str()),
        ("arguments", call.arguments.as_str()),
    ];
    item.extend(own.map(|(name, value)| (name.to_owned(), json!(value))));
    Value::Object(item)
}

#[cfg(test)]
mod tests {
    use shared::config::{ModelSettings, ModelsFile};

    use super::*;

    fn settings(more: &Value) -> ModelSettings {
        let mut model = json!({
            "id": "m", "name": "M", "provider": "openai-responses", "model": "gpt", "base_url": "http://h/v1",
        });
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let file: ModelsFile = serde_json::from_value(json!({"models": [model]})).unwrap();
        file.default_model().settings()
    }

    fn sent(settings: &ModelSettings, messages: &[Message]) -> Value {
        body(&Outgoing { settings, messages, tools: &[], schema: None, max_tokens: None, no_calls: false })
    }

    fn user(text: &str) -> Message {
        Message::User { text: text.to_owned(), pictures: vec![] }
    }

    fn call(id: &str) -> Call {
        Call { id: id.to_owned(), name: "f".to_owned(), arguments: "{\"a\":1}".to_owned(), extra: None }
    }

    #[test]
    fn each_setting_has_its_parameter() {
        let settings = settings(&json!({
            "instructions_role": "developer", "parallel_tool_calls": false, "reasoning_effort": "low",
        }));
        let schema = json!({"type": "object"});
        let tools = [Offered { name: "f", description: "F.", parameters: &schema }];
        let messages = [Message::System("Be brief.".to_owned()), user("Hi")];
        let request = Outgoing {
            settings: &settings,
            messages: &messages,
            tools: &tools,
            schema: Some(&schema),
            max_tokens: Some(99),
            no_calls: true,
        };
        let expected = json!({
            "model": "gpt", "store": false, "stream": true, "include": ["reasoning.encrypted_content"],
            "input": [
                {"type": "message", "role": "developer", "content": "Be brief."},
                {"type": "message", "role": "user", "content": "Hi"},
            ],
            "max_output_tokens": 99, "parallel_tool_calls": false, "tool_choice": "none",
            "reasoning": {"effort": "low"},
            "tools": [{
                "type": "function", "name": "f", "description": "F.", "parameters": {"type": "object"},
                "strict": false,
            }],
            "text": {"format": {"type": "json_schema", "name": "result", "schema": {"type": "object"}}},
        });
        assert_eq!(body(&request), expected);
    }

    #[test]
    fn little_is_sent_without_settings() {
        let settings = settings(&json!({"returns_reasoning": false, "stream": false}));
        let expected = json!({
            "model": "gpt", "store": false, "stream": false,
            "input": [{"type": "message", "role": "user", "content": "Hi"}],
        });
        assert_eq!(sent(&settings, &[user("Hi")]), expected);
    }

    #[test]
    fn an_answer_goes_back_with_its_reasoning() {
        let mut second = call("b");
        second.extra = json!({"namespace": "n", "name": "other"}).as_object().cloned();
        let reasoning = json!({"phase": "commentary", "items": [
            {"at": 0, "item": {"id": "rs_1", "status": "completed", "encrypted_content": "one"}},
            {"at": 1, "item": {"type": "reasoning", "summary": [], "encrypted_content": ""}},
            {"at": 2, "item": {"type": "reasoning", "summary": ["s"], "encrypted_content": "two"}},
        ]});
        let messages = [
            user("Hi"),
            Message::Assistant {
                text: "Wait.".to_owned(),
                reasoning: Some(reasoning),
                calls: vec![call("a"), second],
            },
            Message::Tool { call: "a".to_owned(), content: "1".to_owned() },
            Message::Tool { call: "b".to_owned(), content: String::new() },
        ];
        let (whole, bare) = (json!({}), json!({"returns_reasoning": false}));
        let said = json!([{"type": "output_text", "text": "Wait.", "annotations": []}]);
        let first = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"a\":1}"});
        let second = json!({
            "type": "function_call", "call_id": "b", "name": "f", "arguments": "{\"a\":1}", "namespace": "n",
        });
        let results = [
            json!({"type": "function_call_output", "call_id": "a", "output": "1"}),
            json!({"type": "function_call_output", "call_id": "b", "output": ""}),
        ];
        let expected = json!([
            {"type": "message", "role": "user", "content": "Hi"},
            {"type": "reasoning", "summary": [], "encrypted_content": "one"},
            {"type": "message", "role": "assistant", "content": said, "phase": "commentary"},
            first,
            {"type": "reasoning", "summary": ["s"], "encrypted_content": "two"},
            second, results[0], results[1],
        ]);
        assert_eq!(sent(&settings(&whole), &messages)["input"], expected);
        let expected = json!([
            {"type": "message", "role": "user", "content": "Hi"},
            {"type": "message", "role": "assistant", "content": said},
            first, second, results[0], results[1],
        ]);
        assert_eq!(sent(&settings(&bare), &messages)["input"], expected);
    }

    #[test]
    fn only_a_model_that_sees_gets_pictures() {
        let picture = Picture { media_type: "image/png".to_owned(), base64: "AAAA".into() };
        let messages = [Message::User { text: "Look".to_owned(), pictures: vec![picture] }];
        let content = |more: Value| sent(&settings(&more), &messages)["input"][0]["content"].clone();
        let expected = json!([
            {"type": "input_text", "text": "Look"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
        ]);
        assert_eq!(content(json!({"vision": true})), expected);
        assert_eq!(content(json!({})), json!("Look"));
    }

    #[test]
    fn json_can_be_asked_for_without_its_schema() {
        let settings = settings(&json!({"structured_output": "json_object"}));
        let schema = json!({"type": "object"});
        let messages = [user("Hi")];
        let request = Outgoing {
            settings: &settings,
            messages: &messages,
            tools: &[],
            schema: Some(&schema),
            max_tokens: None,
            no_calls: false,
        };
        assert_eq!(body(&request)["text"], json!({"format": {"type": "json_object"}}));
    }
}
