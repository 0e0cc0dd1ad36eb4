use super::*;
use crate::Answer;

fn assembled(events: &Value) -> Answer {
    let mut assembly = Assembly::default();
    for event in events.as_array().unwrap() {
        add(event, &mut assembly).map_err(|Failure(error)| error).unwrap();
    }
    assembly.answer(true).unwrap()
}

/// Text, calls and finish reason.
fn shown(answer: &Answer) -> String {
    let calls = answer.calls.iter().map(|call| format!("{} {}{}", call.id, call.name, call.arguments));
    format!("{} | {} | {}", answer.text, calls.collect::<Vec<_>>().join(" "), answer.finish_reason)
}

fn start(index: i64, block: &Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: i64, delta: &Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn text_delta(text: &str) -> Value {
    delta(0, &json!({"type": "text_delta", "text": text}))
}

fn input_delta(index: i64, piece: &str) -> Value {
    delta(index, &json!({"type": "input_json_delta", "partial_json": piece}))
}

fn stopped(reason: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason}})
}

#[test]
fn a_whole_stream_becomes_an_answer() {
    let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let first = json!({
        "input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 20,
        "output_tokens": 1,
    });
    let last = json!({"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}});
    let answer = assembled(&json!([
        {"type": "message_start", "message": {"type": "message", "content": [], "usage": first}},
        start(0, &json!({"type": "thinking", "thinking": "", "signature": ""})),
        {"type": "ping"},
        delta(0, &json!({"type": "thinking_delta", "thinking": "Hm"})),
        delta(0, &json!({"type": "thinking_delta", "thinking": "."})),
        delta(0, &json!({"type": "signature_delta", "signature": "sig"})),
        {"type": "content_block_stop", "index": 0},
        start(1, &json!({"type": "text", "text": ""})),
        delta(1, &json!({"type": "text_delta", "text": "Hel"})),
        delta(1, &json!({"type": "text_delta", "text": "lo."})),
        {"type": "content_block_stop", "index": 1},
        start(2, &json!({"type": "redacted_thinking", "data": "secret"})),
        {"type": "content_block_stop", "index": 2},
        start(3, &tool("a")),
        input_delta(3, ""), input_delta(3, "{\"x\""), input_delta(3, ":1}"),
        {"type": "content_block_stop", "index": 3},
        start(4, &tool("b")),
        input_delta(4, "{}"),
        {"type": "content_block_stop", "index": 4},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": last},
        {"type": "message_stop"},
    ]));
    assert_eq!(shown(&answer), "Hello. | a f{\"x\":1} b f{} | tool_use");
    let kept = json!({"thinking_blocks": [
        {"at": 0, "block": {"type": "thinking", "thinking": "Hm.", "signature": "sig"}},
        {"at": 1, "block": {"type": "redacted_thinking", "data": "secret"}},
    ]});
    assert_eq!(answer.reasoning, Some(kept));
    let counted = answer.usage.unwrap();
    assert_eq!((counted.input, counted.output), (35, 9));
    assert_eq!((counted.cached_input, counted.reasoning), (Some(20), Some(4)));
}

#[test]
fn an_answer_without_a_stream_is_the_same() {
    let thinking = json!({"type": "thinking", "thinking": "Hm.", "signature": "sig"});
    let answer = assembled(&json!([{
        "type": "message", "role": "assistant", "stop_reason": "tool_use",
        "content": [
            thinking, {"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}, "caller": {"type": "direct"}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {}},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }]));
    assert_eq!(shown(&answer), "Hello. | a f{\"x\":1} b f{} | tool_use");
    assert_eq!(answer.reasoning, Some(json!({"thinking_blocks": [{"at": 0, "block": thinking}]})));
    let extra = answer.calls.first().and_then(|call| call.extra.clone());
    assert_eq!(extra.map(Value::Object), Some(json!({"caller": {"type": "direct"}})));
    let counted = answer.usage.unwrap();
    assert_eq!((counted.input, counted.output, counted.cached_input), (3, 2, None));
}

#[test]
fn the_input_is_counted_once() {
    let counted = |first: Value, last: Value| {
        let answer = assembled(&json!([
            {"type": "message_start", "message": {"usage": first}},
            text_delta("x"),
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        ]));
        answer.usage.map(|counted| (counted.input, counted.output))
    };
    let full = json!({"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2});
    assert_eq!(counted(full.clone(), json!({"output_tokens": 2})), Some((7, 2)));
    assert_eq!(counted(full.clone(), full.clone()), Some((7, 2)));
    assert_eq!(counted(json!({"input_tokens": 0, "output_tokens": 0}), full.clone()), Some((7, 2)));
    assert_eq!(counted(full, json!({"input_tokens": 0, "output_tokens": 5})), Some((7, 5)));
    assert_eq!(counted(json!({}), json!(null)), None);
}

#[test]
fn input_at_the_start_of_a_block_is_taken() {
    let block = json!({"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}});
    let answer = assembled(&json!([start(0, &block), stopped("tool_use"), {"type": "message_stop"}]));
    assert_eq!(shown(&answer), " | a f{\"x\":1} | tool_use");
}

#[test]
fn reported_errors_end_the_answer() {
    let error = json!({"type": "overloaded_error", "message": "Overloaded"});
    for event in [json!({"type": "error", "error": error}), json!({"error": error})] {
        let Err(Failure(reported)) = add(&event, &mut Assembly::default()) else { panic!("{event}") };
        assert_eq!(reported, error, "{event}");
    }
    assert!(add(&json!({"type": "error"}), &mut Assembly::default()).is_err());
}

#[test]
fn a_refusal_is_explained() {
    let mut assembly = Assembly::default();
    let details = json!({"type": "refusal", "explanation": "It is not safe."});
    let event = json!({
        "type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details},
    });
    assert!(add(&event, &mut assembly).is_ok());
    let error = assembly.answer(true).expect_err("a refusal");
    assert_eq!(error.to_string(), "the model refused to answer: It is not safe.");
}

#[test]
fn wrong_types_are_ignored() {
    let events = json!([
        null, 1, "x", [], {}, {"type": 1}, {"type": "content_block_start"}, {"type": "message_delta"},
        {"type": "message_start", "message": 1},
        start(0, &json!({"type": "server_tool_use", "id": "s", "input": {}})),
        start(1, &json!({"type": "text", "text": null})),
        delta(1, &json!({"type": "thinking_delta", "thinking": "no block"})),
        delta(1, &json!({"type": "citations_delta", "citation": {}})),
        delta(1, &json!({"type": "text_delta", "text": 5})),
        text_delta("x"),
        {"type": "future_event", "error": null},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_details": 1}, "usage": [1]},
        {"type": "message_stop"},
    ]);
    assert_eq!(shown(&assembled(&events)), "x |  | end_turn");
}
