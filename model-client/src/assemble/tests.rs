use super::*;
use crate::Counted;
use serde_json::json;

fn of(fill: impl FnOnce(&mut Assembly), ended: bool) -> Result<Answer, ModelError> {
    let mut assembly = Assembly::default();
    fill(&mut assembly);
    assembly.answer(ended)
}

#[test]
fn an_answer_has_what_was_added() {
    let answer = of(
        |assembly| {
            assembly.text("<think>Hm</think>He");
            assembly.text("y");
            assembly.keep_text("reasoning_content", "");
            assembly.keep_item("reasoning_details", json!({"signature": "s"}));
            assembly.keep_item("reasoning_details", json!({"bad": "\0"}));
            assembly.finish("stop");
            assembly.usage(Usage { input: Some(3), ..Usage::default() });
            assembly.usage(Usage { output: Some(2), ..Usage::default() });
        },
        true,
    );
    let reasoning = json!({
        "reasoning_content": "", "reasoning_details": [{"signature": "s"}], "think": "<think>Hm</think>",
    });
    let expected = Answer {
        text: CleanText::new("Hey", 9),
        reasoning: Some(reasoning),
        calls: vec![],
        finish_reason: "stop".to_owned(),
        usage: Some(Counted { input: 3, output: 2, cached_input: None, reasoning: None }),
    };
    assert_eq!(answer.expect("an answer"), expected);
}

#[test]
fn each_missing_answer_has_its_code() {
    let code = |text: &str, reason: &str, ended| {
        let fill = |assembly: &mut Assembly| {
            assembly.text(text);
            assembly.finish(reason);
        };
        of(fill, ended).map_or_else(|error| error.code().as_str(), |_| "answered")
    };
    assert_eq!(code("He", "", false), "model_unavailable");
    assert_eq!(code("He", "", true), "answered");
    assert_eq!(code("He", "stop", false), "answered");
    assert_eq!(code("", "content_filter", true), "model_refused");
    assert_eq!(code("He", "insufficient_system_resource", true), "model_unavailable");
    assert_eq!(code("He", "whatever", true), "model_error");
    let refused = of(|assembly| assembly.refusal("I will not."), true);
    assert_eq!(refused.expect_err("no answer").code().as_str(), "model_refused");
    let half = of(
        |assembly| {
            assembly.text("He");
            assembly.finish("model_length");
        },
        true,
    );
    assert_eq!(half.expect("a cut answer").finish_reason, WINDOW_FULL);
}

#[test]
fn an_endless_answer_is_cut_and_kept() {
    let mut assembly = Assembly::new(8 << 10);
    while !assembly.is_over() {
        let more = (0..99).map(|n| format!("{n} {}", assembly.bytes)).collect::<Vec<_>>().concat();
        assembly.text(&more);
    }
    let answer = assembly.answer(false).expect("a cut answer");
    assert_eq!((answer.text.len(), answer.finish_reason.as_str()), (MAX_ANSWER_BYTES, OVERSIZED));
    let mut assembly = Assembly::new(8 << 10);
    while !assembly.is_over() {
        assembly.text("I am a model. ");
    }
    assembly.finish("stop");
    let answer = assembly.answer(false).expect("a cut answer");
    assert!(answer.text.len() < 10 << 10 && answer.finish_reason == REPETITION);
}
