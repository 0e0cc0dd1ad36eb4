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
fn shown(events: &Value) -> String {
    let answer = assembled(events);
    let calls = answer.calls.iter().map(|call| format!("{} {}{}", call.id, call.name, call.arguments));
    format!("{} | {} | {}", answer.text, calls.collect::<Vec<_>>().join(" "), answer.finish_reason)
}

fn message(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
}

fn call(id: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": "f",
        "arguments": arguments, "status": "completed",
    })
}

fn done(index: i64, item: &Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": index, "item": item})
}

fn added(index: i64, item: &Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": index, "item": item})
}

fn delta(text: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text})
}

fn arguments(index: i64, delta: &str) -> Value {
    json!({"type": "response.function_call_arguments.delta", "output_index": index, "delta": delta})
}

fn arguments_done(index: i64, arguments: &str) -> Value {
    json!({
        "type": "response.function_call_arguments.done", "output_index": index, "arguments": arguments,
    })
}

fn completed(output: &[&Value]) -> Value {
    json!({"type": "response.completed", "response": {"status": "completed", "output": output}})
}

#[test]
fn a_whole_stream_becomes_an_answer() {
    let replayed =
        |encrypted: &str| json!({"type": "reasoning", "summary": [], "encrypted_content": encrypted});
    let reasoning = |encrypted: &str| {
        let mut item = replayed(encrypted);
        item["id"] = json!("rs_1");
        item
    };
    let mut commented = message("Hello.");
    commented["phase"] = json!("commentary");
    let item = call("a", "{\"x\":1}");
    let usage = json!({
        "input_tokens": 30, "input_tokens_details": {"cached_tokens": 20},
        "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 39,
    });
    let output = [reasoning("one"), commented.clone(), reasoning("two"), item.clone()];
    let answer = assembled(&json!([
        {"type": "response.created", "response": {"status": "in_progress", "output": []}},
        added(0, &reasoning("on")),
        done(0, &reasoning("one")),
        added(1, &message("")),
        {"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}},
        delta("Hel"), delta("lo."),
        {"type": "response.output_text.done", "text": "Hello."},
        {"type": "response.content_part.done", "part": {"type": "output_text", "text": "Hello."}},
        done(1, &commented),
        done(2, &reasoning("two")),
        added(3, &call("a", "")),
        arguments(3, "{\"x\""), arguments(3, ":1}"),
        arguments_done(3, "{\"x\":1}"),
        done(3, &item),
        {"type": "response.completed", "response": {
            "status": "completed", "error": null, "output": output, "usage": usage,
        }},
    ]));
    assert_eq!((&*answer.text, answer.finish_reason.as_str()), ("Hello.", "completed"));
    let kept = json!({"phase": "commentary", "items": [
        {"at": 0, "item": replayed("one")}, {"at": 1, "item": replayed("two")},
    ]});
    assert_eq!(answer.reasoning, Some(kept));
    let call = answer.calls.first().unwrap();
    assert_eq!((answer.calls.len(), call.id.as_str(), call.arguments.as_str()), (1, "a", "{\"x\":1}"));
    let counted = answer.usage.unwrap();
    assert_eq!((counted.input, counted.output), (30, 9));
    assert_eq!((counted.cached_input, counted.reasoning), (Some(20), Some(4)));
}

#[test]
fn nothing_is_missed_or_taken_twice() {
    let (hello, first, second) = (message("Hello."), call("a", "{\"x\":1}"), call("b", "{}"));
    let all = completed(&[&hello, &first, &second]);
    let expected = "Hello. | a f{\"x\":1} b f{} | completed";
    for (case, events) in [
        ("only the last event", json!([all])),
        ("only whole items", json!([done(0, &hello), done(1, &first), done(2, &second), completed(&[])])),
        ("whole items and the last event", json!([done(0, &hello), done(1, &first), done(2, &second), all])),
        ("deltas and the last event", json!([delta("Hello."), all])),
        (
            "calls have one index",
            json!([
                delta("Hello."),
                added(0, &call("a", "")),
                arguments(0, "{\"x\":1}"),
                done(0, &first),
                added(0, &call("b", "")),
                arguments(0, "{}"),
                done(0, &second),
                all,
            ]),
        ),
        (
            "arguments come at once",
            json!([
                delta("Hello."),
                added(1, &call("a", "")),
                added(2, &call("b", "")),
                arguments_done(1, "{\"x\":1}"),
                arguments_done(2, "{}"),
                completed(&[]),
            ]),
        ),
        (
            "deltas have no index",
            json!([
                delta("Hello."),
                {"type": "response.output_item.added", "item": call("a", "")},
                {"type": "response.function_call_arguments.delta", "delta": "{\"x\":1}"},
                {"type": "response.output_item.added", "item": call("b", "")},
                {"type": "response.function_call_arguments.delta", "delta": "{}"},
                {"type": "response.output_item.done", "item": first},
                {"type": "response.output_item.done", "item": second},
                completed(&[]),
            ]),
        ),
        (
            "no stream",
            json!([
                {"object": "response", "status": "completed", "output": [hello, first, second]},
            ]),
        ),
    ] {
        assert_eq!(shown(&events), expected, "{case}");
    }
}

#[test]
fn texts_of_two_messages_are_separated() {
    let streamed = json!([added(0, &message("")), delta("One."), added(1, &message("")), delta("Two.")]);
    let whole = json!([completed(&[&message("One."), &message("Two.")])]);
    assert_eq!(&*assembled(&streamed).text, "One.\n\nTwo.");
    assert_eq!(&*assembled(&whole).text, "One.\n\nTwo.");
}

#[test]
fn each_end_has_its_finish_reason() {
    let cut = |reason: &str| {
        json!([delta("x"), {"type": "response.incomplete", "response": {
            "status": "incomplete", "incomplete_details": {"reason": reason},
        }}])
    };
    for (events, expected) in [
        (cut("max_output_tokens"), "length"),
        (cut("content_filter"), "content_filter"),
        (
            json!([delta("x"), {"type": "response.completed", "response": {"status": "in_progress"}}]),
            "completed",
        ),
        (json!([delta("x"), {"type": "response.done", "response": {"status": "completed"}}]), "completed"),
        (json!([delta("x"), {"type": "response.completed"}]), "completed"),
    ] {
        assert_eq!(assembled(&events).finish_reason, expected, "{events}");
    }
}

#[test]
fn reported_errors_end_the_answer() {
    let error = json!({"code": "server_error", "message": "Sorry."});
    for event in [
        json!({"type": "response.failed", "response": {"status": "failed", "error": error}}),
        json!({"object": "response", "status": "failed", "error": error, "output": []}),
        json!({"type": "error", "code": "server_error", "message": "Sorry.", "sequence_number": 3}),
        json!({"type": "error", "error": error}),
        json!({"error": error}),
    ] {
        let Err(Failure(reported)) = add(&event, &mut Assembly::default()) else { panic!("{event}") };
        assert_eq!(reported, error, "{event}");
    }
    let unexplained = json!({"type": "response.failed", "response": {"status": "failed", "error": null}});
    assert!(add(&unexplained, &mut Assembly::default()).is_err());
}

#[test]
fn a_refusal_is_no_answer() {
    let part = json!({"type": "refusal", "refusal": "I will not."});
    let item = json!({"type": "message", "content": [part]});
    for events in [
        json!([
            {"type": "response.refusal.delta", "delta": "I will not."}, done(0, &item), completed(&[&item]),
        ]),
        json!([{"object": "response", "status": "completed", "output": [item]}]),
    ] {
        let mut assembly = Assembly::default();
        for event in events.as_array().unwrap() {
            assert!(add(event, &mut assembly).is_ok());
        }
        let error = assembly.answer(true).expect_err("a refusal");
        assert_eq!(error.to_string(), "the model refused to answer: I will not.", "{events}");
    }
}

#[test]
fn wrong_types_are_ignored() {
    let events = json!([
        null, 1, "x", [], {}, {"type": 1}, {"type": "response.output_item.done"},
        {"type": "response.output_item.done", "item": {"type": "message", "content": 5}},
        {"type": "response.output_item.done", "item": {"type": "reasoning", "encrypted_content": 5}},
        {"type": "response.output_text.delta", "delta": {"text": "y"}},
        {"type": "response.function_call_arguments.delta", "delta": ""},
        {"type": "response.output_text.annotation.added", "annotation": {}, "error": "?"},
        {"type": "codex.rate_limits"},
        delta("x"),
        {"type": "response.completed", "response": {"output": {}, "usage": [1], "incomplete_details": 1}},
    ]);
    assert_eq!(shown(&events), "x |  | completed");
}
