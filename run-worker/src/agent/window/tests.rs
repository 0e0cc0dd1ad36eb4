use super::*;
use model_client::Call;

fn conversation() -> Vec<Message> {
    let answer = || Message::Assistant { text: String::new(), reasoning: None, calls: vec![] };
    let result = |fill: &str| Message::Tool { call: "c".to_owned(), content: fill.repeat(4000) };
    vec![Message::user("go".to_owned()), answer(), result("a"), answer(), result("é"), answer(), result("c")]
}

fn room(window: Option<u32>, estimate: Estimate) -> Room {
    Room { window, max_output_tokens: Some(100), returns_reasoning: false, overhead: 0, estimate, most: None }
}

fn lengths(window: u32, estimate: Estimate) -> Vec<usize> {
    fit(&conversation(), &room(Some(window), estimate)).messages.iter().map(Message::bytes).collect()
}

#[test]
fn the_oldest_results_are_shortened_first_and_only_as_needed() {
    let short = |length: usize| length > KEPT && length < KEPT + 100;
    let usual = Estimate::default();
    assert_eq!(lengths(10_000, usual), [2, 0, 4000, 0, 8000, 0, 4000]);
    assert!(matches!(fit(&conversation(), &room(None, usual)).messages, Cow::Borrowed(_)));
    let [_, _, first, _, second, _, last] = lengths(4_000, usual)[..] else { panic!("all messages stay") };
    assert!(short(first) && second == 8000 && last == 4000);
    let [_, _, first, _, second, _, last] = lengths(2_000, usual)[..] else { panic!("all messages stay") };
    assert!(short(first) && short(second) && last == 4000);
    let [_, _, first, _, second, _, last] = lengths(300, usual)[..] else { panic!("all messages stay") };
    assert!(short(first) && short(second) && short(last));
}

#[test]
fn arguments_of_older_calls_are_shortened_too() {
    let call = |n: u32| Call {
        id: n.to_string(),
        name: "write_file".to_owned(),
        arguments: json!({"content": "0".repeat(9000)}).to_string(),
        extra: None,
    };
    let said = |n| Message::Assistant { text: String::new(), reasoning: None, calls: vec![call(n)] };
    let done = || Message::Tool { call: "c".to_owned(), content: "written".to_owned() };
    let conversation = [said(1), done(), said(2), done(), said(3), done()];
    let fitted = fit(&conversation, &room(Some(6000), Estimate::default()));
    let lengths: Vec<_> = fitted.messages.iter().map(Message::bytes).collect();
    assert!(lengths[0] < 100 && lengths[4] > 9000, "{lengths:?}");
}

#[test]
fn tools_and_a_refused_length_take_room() {
    let with_tools = Room { overhead: 30_000, ..room(Some(10_000), Estimate::default()) };
    assert!(matches!(fit(&conversation(), &with_tools).messages, Cow::Owned(_)));
    let refused = Room { most: Some(3000), ..room(None, Estimate::default()) };
    let conversation = conversation();
    let fitted = fit(&conversation, &refused);
    assert!(fitted.tokens <= 3000 && fitted.messages[2].bytes() < 1000, "{}", fitted.tokens);
}

#[test]
fn an_answer_is_limited_only_where_a_limit_is_known() {
    let room = Room { max_output_tokens: None, ..room(Some(8000), Estimate::default()) };
    assert_eq!(fit(&conversation(), &room).answer, None);
    let room = Room { max_output_tokens: Some(6000), ..room };
    assert_eq!(fit(&conversation(), &room).answer, Some(4000));
}

#[test]
fn the_servers_count_corrects_the_estimate() {
    let usual = Estimate::default();
    assert_eq!(usual.tokens(18_000), 4500);
    // 1,000 bytes of words, then 18,000 bytes of digits with two bytes a token.
    let dense = usual.with_count(250, 1000).with_count(9250, 19_000);
    assert_eq!(dense.tokens(19_000), 9250);
    assert_eq!(dense.tokens(37_000), 18_250);
    assert_eq!(usual.with_count(i64::MAX, 1).tokens(1), i64::MAX);
    assert_eq!(usual.with_count(0, 100), usual);
    let [_, _, first, ..] = lengths(10_000, dense)[..] else { panic!("all messages stay") };
    assert_eq!(first, 4000, "the estimate counts from the last count");
}

#[test]
fn the_same_results_stay_short_while_the_conversation_grows() {
    let mut messages = conversation();
    let room = room(Some(4000), Estimate::default());
    let short = |message: &Message| matches!(message, Message::Tool { content, .. } if content.len() < 1000);
    let shortened =
        |messages: &[Message]| fit(messages, &room).messages.iter().filter(|it| short(it)).count();
    let first = shortened(&messages);
    assert_eq!(first, 1);
    for _ in 0..3 {
        messages.push(Message::user("more words".repeat(20)));
        assert_eq!(shortened(&messages), first);
    }
}
