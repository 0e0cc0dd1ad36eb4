//! JSON that is found in an answer of an app with a schema.

use serde_json::{Value, json};

use super::case::{Case, openai};
use super::chat::say;
use super::harness;

#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_an_answer_is_found() {
    harness::run([found(), repaired()].into_iter().flatten().collect()).await;
}

/// The first answer holds the data.
fn holds(name: &str, answer: &str) -> Case {
    openai(name).wants_n().replies([say(answer)]).gives(json!({"n": 4})).asked(1)
}

fn found() -> Vec<Case> {
    let code = json!({"n": 4, "s": "Run:\n```sh\nls\n```\nDone."});
    let fenced_code = format!("```json\n{code}\n```");
    let list = json!({"type": "array", "items": {"type": "integer"}});
    vec![
        holds("json-alone", " {\"n\": 4}\n"),
        holds("json-behind-a-bom", "\u{feff}{\"n\": 4}"),
        holds("json-in-a-fence", "```json\n{\"n\": 4}\n```"),
        holds("json-in-a-fence-of-tildes", "~~~json\n{\"n\": 4}\n~~~"),
        holds("json-in-a-fence-on-one-line", "```json {\"n\": 4} ```"),
        holds("json-in-a-fence-that-is-cut", "```json\n{\"n\": 4}\n"),
        holds("json-with-a-fence-in-a-string", &code.to_string()).gives(code.clone()),
        holds("json-in-a-fence-with-a-fence-in-a-string", &fenced_code).gives(code.clone()),
        holds("json-in-a-longer-fence", &format!("````json\n{code}\n````")).gives(code),
        holds("json-after-words", "Here it is:\n{\"n\": 4}"),
        holds("json-before-words", "{\"n\": 4}\n\nThat is the square of 2."),
        holds("json-between-words", "Sure! {\"n\": 4} Bye."),
        holds("json-after-words-with-braces", "With {x} and [y]: {\"n\": 4}"),
        holds("json-after-thinking", "<think>2 + 2</think>{\"n\": 4}"),
        holds("json-after-thinking-with-json", "<think>{\"n\": 1}, no.</think>\n\n```json\n{\"n\": 4}\n```"),
        holds("json-after-thinking-without-its-beginning", "{\"n\": 1}? No.\n</think>\n{\"n\": 4}"),
        holds("json-with-spaces-that-are-none", "\u{a0}{\"n\": 4}\u{a0}"),
        openai("json-list-after-words")
            .app("output", json!({"schema": list}))
            .replies([say("The list: [1, 2]")])
            .gives(json!([1, 2]))
            .asked(1),
        openai("json-text")
            .app("output", json!({"schema": {"type": "string"}}))
            .replies([say("\"x\"")])
            .gives(json!("x")),
    ]
}

/// The first answer does not match. The note says why, and the schema.
fn repaired() -> Vec<Case> {
    let wrong = |name: &str, answer: &str, why: &'static str| {
        let case = openai(name).wants_n().replies([say(answer), say("{\"n\": 4}")]);
        case.gives(json!({"n": 4})).asked(2).check(move |seen| {
            assert_eq!(seen.notes(), ["repair"]);
            let messages = seen.last()["messages"].as_array().unwrap();
            let note = messages.last().unwrap()["content"].as_str().unwrap();
            assert!(note.contains(why) && note.contains("\"integer\""), "{note}");
        })
    };
    vec![
        wrong("repair-words", "It is four.", "JSON"),
        wrong("repair-a-type", "{\"n\": \"four\"}", "whole number"),
        wrong("repair-a-missing-member", "{\"m\": 4}", "n"),
        wrong("repair-cut-json", "{\"n\": 4", "JSON"),
        wrong("repair-a-number-that-is-none", "{\"n\": NaN}", "JSON"),
        openai("repair-in-vain")
            .wants_n()
            .replies([say("{\"n\": \"four\"}")])
            .asked(2)
            .fails("invalid_result", true, "schema")
            .check(|seen| assert_eq!(seen.run().result["data"], Value::Null)),
    ]
}
