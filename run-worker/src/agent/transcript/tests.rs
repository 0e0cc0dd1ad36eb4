use proptest::prelude::*;
use serde_json::{Value, json};
use shared::events::NewEvent;
use shared::text::CleanText;

use super::super::message::{answered, note, opening};
use super::*;
use crate::model::{Answer, Counted, WantedCall};

/// What happens next in a made-up run, as far as it can.
#[derive(Debug, Clone)]
enum Action {
    Answer(Answer),
    Intend,
    Return(String, bool),
    Publish(u32),
    Note(String),
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,20}".prop_map(|text| CleanText::new(&text, 1000).into_string())
}

fn answer() -> impl Strategy<Value = Answer> {
    let call = ("[a-c]?", "[a-z_]{1,6}", text()).prop_map(|(id, name, arguments)| WantedCall {
        id,
        name,
        arguments,
    });
    let usage =
        proptest::option::of((0..1000i64, 0..1000i64).prop_map(|(input, output)| Counted { input, output }));
    let reasoning = proptest::option::of(
        (text(), any::<f64>())
            .prop_map(|(text, n)| json!({"reasoning_content": text, "reasoning_details": [{"n": n}]})),
    );
    let reason = prop_oneof![Just("stop"), Just("tool_calls"), Just(""), Just("length")];
    (text(), reasoning, proptest::collection::vec(call, 0..4), reason, usage).prop_map(
        |(text, reasoning, calls, reason, usage)| Answer {
            text: CleanText::new(&text, 1000),
            reasoning,
            calls,
            finish_reason: reason.to_owned(),
            usage,
        },
    )
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        answer().prop_map(Action::Answer),
        Just(Action::Intend),
        (text(), any::<bool>()).prop_map(|(text, failed)| Action::Return(text, failed)),
        (0..1000u32).prop_map(Action::Publish),
        text().prop_map(Action::Note),
    ];
    proptest::collection::vec(action, 0..40)
}

/// The events of an action where the run stands, if it makes sense there.
fn events(at: &Transcript, action: &Action) -> Option<NewEvent> {
    match (at.next(), action) {
        (Next::Begin, _) => Some(opening("user", "go")),
        (Next::Ask, Action::Answer(answer)) => Some(answered(answer, 7)),
        (Next::Ask, Action::Note(text)) => Some(note("wrap_up", text)),
        (Next::Answered, Action::Note(text)) if !at.is_broken_off() => Some(note("repair", text)),
        (Next::Call, Action::Intend) => {
            at.open().iter().find(|open| !open.intended).map(|open| open.call.event(1))
        }
        (Next::Call, Action::Return(text, failed)) => {
            at.open().front().filter(|open| open.intended).map(|open| open.call.result(text, *failed))
        }
        (Next::Call, Action::Publish(size)) => {
            Some(NewEvent { kind: EventType::Artifact, data: json!({"size": size}) })
        }
        _ => None,
    }
}

/// Each answer's calls are followed by their results, all of them, in their order.
fn is_paired(messages: &[Message]) -> bool {
    let mut awaited: VecDeque<&str> = VecDeque::new();
    messages.iter().all(|message| match message {
        Message::Tool { call, .. } => awaited.pop_front() == Some(call),
        other => {
            let paired = awaited.is_empty();
            if let Message::Assistant { calls, .. } = other {
                awaited = calls.iter().map(|call| call.provider_id.as_str()).collect();
            }
            paired
        }
    })
}

proptest! {
    #[test]
    fn every_part_of_a_log_is_rebuilt_as_it_was(actions in actions()) {
        let (mut live, mut log) = (Transcript::default(), Vec::<(String, String)>::new());
        for action in &actions {
            let Some(event) = events(&live, action) else { continue };
            live.apply(&event);
            log.push((event.kind.as_str().to_owned(), event.data.to_string()));
            let read: Vec<(String, Value)> =
                log.iter().map(|(kind, data)| (kind.clone(), serde_json::from_str(data).unwrap())).collect();
            let rebuilt = Transcript::rebuild(read.iter().map(|(kind, data)| (kind.as_str(), data)));
            prop_assert_eq!(&rebuilt, &live);
            if live.next() == Next::Ask {
                prop_assert!(is_paired(live.messages()), "{:?}", live.messages());
            }
        }
    }
}

#[test]
fn the_log_decides_what_comes_next() {
    let wanted =
        |id: &str| WantedCall { id: id.to_owned(), name: "x".to_owned(), arguments: "{}".to_owned() };
    let said = |text: &str, calls, reason: &str| {
        let answer = Answer {
            text: CleanText::new(text, 100),
            reasoning: None,
            calls,
            finish_reason: reason.to_owned(),
            usage: None,
        };
        answered(&answer, 5)
    };
    let mut transcript = Transcript::default();
    assert_eq!(transcript.next(), Next::Begin);
    transcript.apply(&opening("user", "go"));
    assert_eq!(transcript.next(), Next::Ask);
    transcript.apply(&said("Hm.", vec![wanted("a"), wanted("a"), wanted("")], "tool_calls"));
    assert_eq!(transcript.next(), Next::Call);
    let calls: Vec<_> = transcript.open().iter().map(|open| open.call.clone()).collect();
    assert_eq!(calls[0].provider_id, "a");
    assert_eq!(calls[1].provider_id, calls[1].id.to_string(), "ids of one message are unique");
    for call in &calls {
        assert_eq!(transcript.next(), Next::Call);
        transcript.apply(&call.event(1));
        transcript.apply(&call.result("1", false));
    }
    assert_eq!(transcript.next(), Next::Ask);
    let mut cut = transcript.clone();
    transcript.apply(&said("Done.", vec![], "stop"));
    assert_eq!((transcript.next(), transcript.last_text()), (Next::Answered, "Done."));
    cut.apply(&said("", vec![wanted("b")], "length"));
    assert_eq!((cut.next(), cut.last_text()), (Next::Answered, "Hm."), "what was cut calls nothing");
    transcript.apply(&note("repair", "Again."));
    assert_eq!(transcript.next(), Next::Ask);
    assert!(transcript.has_note("repair") && !transcript.has_note("wrap_up"));
}
