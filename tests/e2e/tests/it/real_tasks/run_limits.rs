//! At a limit of the run the model is asked once more, with calls switched off. A failing call that is
//! repeated unchanged is pointed out.

use serde_json::{Value, json};

use super::services::{Services, script};
use super::{read, shell};

/// Each answer says something and makes a call, whether or not it may.
fn endless() -> Value {
    json!([{"say": "Once more.", "call": [["list_files", "{}"]]}])
}

/// The choices of tools in the requests so far; "auto" if a request has none.
fn choices(services: &Services) -> Vec<Value> {
    let asked = services.stack.model.asked();
    asked.iter().map(|(_, request)| request.get("tool_choice").cloned().unwrap_or(json!("auto"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_step_is_the_closing_answer() {
    let services = Services::start().await;
    let app = services.stack.import_with_tools("[limits]\nsteps = 3\n").await;
    let steps = json!([
        {"say": "I look.", "call": [["list_files", "{}"]]},
        {"call": [["current_time", "{}"]]},
        {"say": "There are no files."},
    ]);
    let ended = services.run_of(&app, &[], &steps).await;
    assert_eq!(ended.run["status"], "completed", "{}", ended.run);
    assert_eq!(ended.run["result"]["text"], "There are no files.");
    assert_eq!(choices(&services), ["auto", "auto", "none"]);
    let asked = services.stack.model.asked();
    let tools: Vec<_> = asked.iter().map(|(_, request)| request["tools"].clone()).collect();
    assert!(tools[0].is_array() && tools.iter().all(|other| *other == tools[0]), "the prefix stays as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_switched_off_end_the_run_and_are_not_made() {
    let services = Services::start().await;
    let app = services.stack.import_with_tools("[limits]\nsteps = 3\n").await;
    let ended = services.run_of(&app, &[], &endless()).await;
    assert_eq!(ended.run["errorCode"], "step_limit_exceeded", "{}", ended.run);
    assert_eq!(ended.run["result"]["text"], "Once more.", "{}", ended.run);
    assert_eq!(ended.run["result"]["partial"], true, "{}", ended.run);
    assert_eq!(ended.told.len(), 2, "the third call is not made");
    assert_eq!(choices(&services), ["auto", "auto", "none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_call_that_is_allowed_the_model_answers() {
    let services = Services::start().await;
    let app = services.stack.import_with_tools("[limits]\ntool_calls = 2\n").await;
    let list = json!(["list_files", "{}"]);
    let steps = json!([{"call": [list]}, {"call": [list]}, {"say": "There are no files."}]);
    let ended = services.run_of(&app, &[], &steps).await;
    assert_eq!(ended.run["status"], "completed", "{}", ended.run);
    assert_eq!(ended.run["result"]["text"], "There are no files.");
    assert_eq!(choices(&services), ["auto", "auto", "none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_limit_are_not_made_and_the_closing_answer_is_kept() {
    let services = Services::start().await;
    let app = services.stack.import_with_tools("[limits]\ntool_calls = 2\n").await;
    let write = |name: &str| json!(["write_file", json!({"path": name, "content": "x"}).to_string()]);
    let steps = json!([
        {"say": "One.", "call": [write("a")]},
        {"say": "More.", "call": [write("b"), write("c")]},
        {"say": "I wrote what I could."},
    ]);
    let ended = services.run_of(&app, &[], &steps).await;
    assert_eq!(ended.run["errorCode"], "tool_call_limit_exceeded", "{}", ended.run);
    assert_eq!(ended.run["result"]["text"], "I wrote what I could.", "{}", ended.run);
    assert_eq!(ended.run["result"]["partial"], true, "{}", ended.run);
    assert_eq!(choices(&services), ["auto", "auto", "none"]);
    let [first, rest @ ..] = &ended.told[..] else { panic!("{:?}", ended.told) };
    first.has(&["Wrote"]);
    assert!(rest.iter().any(|told| told.0.contains("not made")), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_told_the_limit_that_the_run_fails_with() {
    let services = Services::start().await;
    let app = services.stack.import_with_tools("[limits]\nsteps = 3\ntool_calls = 2\n").await;
    let list = json!(["list_files", "{}"]);
    let steps = json!([
        {"say": "One.", "call": [list]},
        {"say": "More.", "call": [list, list]},
        {"say": "There are no files."},
    ]);
    let ended = services.run_of(&app, &[], &steps).await;
    assert_eq!(ended.run["errorCode"], "tool_call_limit_exceeded", "{}", ended.run);
    let [_, refused, ..] = &ended.told[..] else { panic!("{:?}", ended.told) };
    refused.has(&["not made", "no more tool calls"]);
    refused.lacks(&["last of your"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_call_that_is_repeated_unchanged_is_pointed_out() {
    let services = Services::start().await;
    let app = services.stack.import_with_tools("").await;
    let calls =
        [read("missing.txt"), shell("exit 3"), read("missing.txt"), read("other.txt"), shell("exit 3")];
    let ended = services.run_of(&app, &[], &script(&calls, "Done.")).await;
    assert_eq!(ended.run["status"], "completed", "{}", ended.run);
    let [first, command, again, other, command_again] = &ended.told[..] else { panic!("{:?}", ended.told) };
    first.lacks(&["same"]);
    command.lacks(&["same"]);
    again.has(&["does not exist", "same"]);
    other.lacks(&["same"]);
    command_again.has(&["exit code 3", "same"]);
}
