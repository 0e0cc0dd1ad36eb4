use proptest::prelude::*;
use serde_json::json;
use shared::ids::ArtifactId;
use shared::runs::events::{LoggedPicture, PublishedArtifact, RequestedCall, StoredPicture, ToolResult};
use shared::text::CleanText;

use super::super::events::{Sent, answer as answered, note, tool_call, tool_result, user};
use super::*;
use model_client::{Answer, Call, Counted, Picture};

/// The next action of a generated run. It is skipped where it is not possible.
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
    let call = ("[a-c]?", "[a-z_]{1,6}", text()).prop_map(|(id, name, arguments)| Call {
        id,
        name,
        arguments,
        extra: None,
    });
    let usage = proptest::option::of((0..1000i64, 0..1000i64).prop_map(|(input, output)| Counted {
        input,
        output,
        cached_input: None,
        reasoning: None,
    }));
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

/// The event of an action, if the action is possible at this point of the run.
fn event_of(at: &Transcript, action: &Action) -> Option<EventData> {
    match (at.next(), action) {
        (Next::Begin, _) => Some(user("go".to_owned(), vec![])),
        (Next::Ask, Action::Answer(answer)) => {
            Some(answered(answer, Sent { bytes: 28, tokens: 7, max_tokens: None, is_new: true }))
        }
        (Next::Ask, Action::Note(text)) => Some(note(NoteKind::WrapUp, text.clone())),
        (Next::Answered, Action::Note(text)) if !at.is_incomplete() => {
            Some(note(NoteKind::Repair, text.clone()))
        }
        (Next::Call, Action::Intend) => {
            at.open().iter().find(|open| !open.intended).map(|open| tool_call(&open.call, 1))
        }
        (Next::Call, Action::Return(text, failed)) => {
            let result = |open: &OpenCall| tool_result(&open.call, text.clone(), *failed);
            at.open().front().filter(|open| open.intended).map(result).map(EventData::ToolResult)
        }
        (Next::Call, Action::Publish(size)) => Some(EventData::Artifact(PublishedArtifact {
            id: ArtifactId::generate(),
            media_type: "text/plain".to_owned(),
            title: "t".to_owned(),
            size: (*size).into(),
            sha256: "00".to_owned(),
        })),
        _ => None,
    }
}

/// Whether the results of each answer's calls follow it: all of them, in order.
fn is_paired(messages: &[Message]) -> bool {
    let mut awaited: VecDeque<&str> = VecDeque::new();
    messages.iter().all(|message| match message {
        Message::Tool { call, .. } => awaited.pop_front() == Some(call),
        other => {
            let paired = awaited.is_empty();
            if let Message::Assistant { calls, .. } = other {
                awaited = calls.iter().map(|call| call.id.as_str()).collect();
            }
            paired
        }
    })
}

proptest! {
    #[test]
    fn each_prefix_of_a_log_is_rebuilt_unchanged(actions in actions()) {
        let (mut live, mut log) = (Transcript::default(), Vec::<(&str, String)>::new());
        for action in &actions {
            let Some(event) = event_of(&live, action) else { continue };
            live.apply(&event);
            log.push((event.event_type().as_str(), event.data().to_string()));
            let read = log.iter().map(|(event_type, data)| {
                EventData::read(event_type, serde_json::from_str(data).unwrap()).unwrap().unwrap()
            });
            let read: Vec<_> = read.collect();
            prop_assert_eq!(&Transcript::rebuild(&read), &live);
            if live.next() == Next::Ask {
                prop_assert!(is_paired(live.messages()), "{:?}", live.messages());
            }
        }
    }
}

#[test]
fn the_log_decides_what_comes_next() {
    let wanted =
        |id: &str| Call { id: id.to_owned(), name: "x".to_owned(), arguments: "{}".to_owned(), extra: None };
    let said = |text: &str, calls, reason: &str| {
        let answer = Answer {
            text: CleanText::new(text, 100),
            reasoning: None,
            calls,
            finish_reason: reason.to_owned(),
            usage: None,
        };
        answered(&answer, Sent { bytes: 20, tokens: 5, max_tokens: None, is_new: true })
    };
    let mut transcript = Transcript::default();
    assert_eq!(transcript.next(), Next::Begin);
    transcript.apply(&user("go".to_owned(), vec![]));
    assert_eq!(transcript.next(), Next::Ask);
    transcript.apply(&said("Hm.", vec![wanted("a"), wanted("a"), wanted("")], "tool_calls"));
    assert_eq!(transcript.next(), Next::Call);
    let calls: Vec<_> = transcript.open().iter().map(|open| open.call.clone()).collect();
    assert_eq!(calls[0].provider_id, "a");
    let own_id = |call: &RequestedCall| call.provider_id.len() == 9 && call.provider_id != "a";
    assert!(own_id(&calls[1]) && own_id(&calls[2]), "ids of one message are unique");
    for call in &calls {
        assert_eq!(transcript.next(), Next::Call);
        transcript.apply(&tool_call(call, 1));
        transcript.apply(&EventData::ToolResult(tool_result(call, "1".to_owned(), false)));
    }
    assert_eq!(transcript.next(), Next::Ask);
    let mut cut = transcript.clone();
    transcript.apply(&said("Done.", vec![], "stop"));
    assert_eq!((transcript.next(), transcript.last_text()), (Next::Answered, "Done."));
    cut.apply(&said("", vec![wanted("b")], "length"));
    assert_eq!((cut.next(), cut.last_text()), (Next::Answered, "Hm."), "a cut answer makes no calls");
    transcript.apply(&note(NoteKind::Repair, "Again.".to_owned()));
    assert_eq!(transcript.next(), Next::Ask);
    assert!(transcript.has_note(&NoteKind::Repair) && !transcript.has_note(&NoteKind::WrapUp));
}

#[test]
fn the_log_names_the_pictures_and_the_messages_have_them() {
    let [first, second] =
        ["a", "b"].map(|base64| Picture { media_type: "image/png".to_owned(), base64: base64.into() });
    let files = [FileId::generate(), FileId::generate(), FileId::generate()];
    let logged =
        |file: FileId| LoggedPicture { file, name: "a.png".to_owned(), media_type: "image/png".to_owned() };
    let loaded = LoadedPictures::from([(files[1], second.clone()), (files[0], first.clone())]);
    let mut transcript = Transcript::default();
    transcript.apply(&user("look".to_owned(), vec![logged(files[0]), logged(files[1])]));
    transcript.apply(&note(NoteKind::Files, "They are there.".to_owned()));
    assert!(transcript.has_pictures() && transcript.shows(files[1]) && !transcript.shows(files[2]));
    for _ in 0..2 {
        transcript.show(&loaded);
        let shown = Message::User { text: "look".to_owned(), pictures: vec![first.clone(), second.clone()] };
        assert_eq!(transcript.messages()[0], shown, "in the order of the log, once");
    }
    let note = Message::User { text: "They are there.".to_owned(), pictures: vec![] };
    assert_eq!(transcript.messages()[1], note);
}

#[test]
fn a_picture_that_a_tool_showed_follows_its_result() {
    let call = RequestedCall {
        id: uuid::Uuid::now_v7(),
        provider_id: "a".to_owned(),
        name: "read_file".to_owned(),
        arguments: "{}".to_owned(),
        extra: None,
    };
    let asked = Answer {
        text: CleanText::new("", 100),
        reasoning: None,
        calls: vec![Call {
            id: "a".to_owned(),
            name: "read_file".to_owned(),
            arguments: "{}".to_owned(),
            extra: None,
        }],
        finish_reason: "tool_calls".to_owned(),
        usage: None,
    };
    let stored = StoredPicture {
        name: "chart.png".to_owned(),
        media_type: "image/png".to_owned(),
        size: 3,
        sha256: "0f".repeat(32),
    };
    let mut transcript = Transcript::default();
    transcript.apply(&user("look".to_owned(), vec![]));
    transcript.apply(&answered(&asked, Sent { bytes: 20, tokens: 5, max_tokens: None, is_new: true }));
    let open = transcript.open()[0].call.clone();
    let call = RequestedCall { id: open.id, ..call };
    let result = tool_result(&call, "shown".to_owned(), false);
    transcript.apply(&EventData::ToolResult(ToolResult { picture: Some(stored.clone()), ..result }));
    assert_eq!(transcript.next(), Next::Ask);
    let id = FileId::from(call.id);
    assert_eq!(transcript.stored_pictures(), [(id, stored)]);
    let picture = Picture { media_type: "image/png".to_owned(), base64: "AAAA".into() };
    transcript.show(&LoadedPictures::from([(id, picture.clone())]));
    let last = Message::User { text: "Picture: chart.png".to_owned(), pictures: vec![picture] };
    assert_eq!(transcript.messages().last(), Some(&last));
}
