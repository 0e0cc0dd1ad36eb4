//! A run with each protocol of model servers loses its worker in the middle. The next worker asks for no
//! recorded answer again, and sends the same bytes, so that the server's prompt cache holds them.

use e2e::{Service, Stack};
use serde_json::{Value, json};
use shared::testing::{MeasuredRequest, ScriptedModel, eventually};

const TEXT: &str = "Read the notes.";
const STEPS: usize = 8;
/// After so many answers the worker is killed.
const LOST_AFTER: usize = 4;
/// The least part of the input, after the first step, that the server's cache must hold.
const LEAST_PERCENT: i64 = 80;

const APP: &str = r#"
name = "Notes"
instructions = "Be thorough."
prompt = "{{ text }}"
tools = ["current_time", "list_files", "read_file", "write_file"]
[[inputs]]
name = "text"
type = "text"
"#;

/// The model writes a file and reads it again and again.
fn script() -> Value {
    let notes = json!({"path": "notes.txt", "content": "A line of the notes.\n".repeat(30)}).to_string();
    let read = json!(["read_file", json!({"path": "notes.txt"}).to_string()]);
    let step = |number: usize| {
        let mut step = match number {
            0 => json!({"say": "I write them down.", "call": [["write_file", notes]]}),
            _ if number + 1 == STEPS => json!({"say": "Done."}),
            _ => json!({"say": "I read them.", "call": [["current_time", "{}"], read]}),
        };
        step["usage"] = json!("measured");
        step["hold"] = json!(number == LOST_AFTER);
        step
    };
    (0..STEPS).map(step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r16_a_crash_costs_one_answer_and_no_cached_input_with_each_protocol() {
    let stack = Stack::unlimited().await;
    stack.model.script(TEXT, &script());
    let gateway = stack.start(Service::Gateway).await;
    let doomed = stack.start(Service::RunWorker).await;
    let app = stack.import(APP).await;
    let mut runs = Vec::new();
    for model in ScriptedModel::THINKING {
        let body = json!({"appId": app, "inputs": {"text": TEXT}, "chatModelId": model});
        runs.push((model, stack.create_run_of(&gateway, &body).await));
    }
    let each = async || (stack.model.holding() == ScriptedModel::THINKING.len()).then_some(());
    eventually("each run waits for the model", each).await;
    doomed.kill().await;
    let none = async || (stack.model.holding() == 0).then_some(());
    eventually("the model's streams are closed", none).await;
    stack.model.release();
    let _other = stack.start(Service::RunWorker).await;
    for (model, id) in &runs {
        let run = stack.ended(&gateway, id).await;
        assert_eq!((&run["result"]["text"], &run["attempt"]), (&"Done.".into(), &2.into()), "{run}");
        check(model, &run["usage"], &stack.model.measured(model));
    }
    assert_eq!(stack.model.faults(), Vec::<String>::new(), "each history is the one that the model gave");
    assert_eq!(stack.model.asked().len(), runs.len() * (STEPS + 1));
}

/// The requests of one run, and the usage that the API shows.
fn check(model: &str, usage: &Value, requests: &[MeasuredRequest]) {
    let asked: Vec<_> = requests.iter().map(|request| request.answers).collect();
    let expected: Vec<_> = (0..=LOST_AFTER).chain(LOST_AFTER..STEPS).collect();
    assert_eq!(asked, expected, "{model}: only the lost answer is asked for again");
    for pair in requests.windows(2) {
        let same = pair[1].text.starts_with(&pair[0].text);
        assert!(same, "{model}: {}\n{}", pair[0].text, pair[1].text);
    }
    let sum = |requests: &[&MeasuredRequest]| {
        requests.iter().fold([0, 0], |[input, cached], request| {
            [input + request.input_tokens, cached + request.cached_tokens]
        })
    };
    // The first request for the lost answer counts nowhere.
    let answered: Vec<_> =
        requests.iter().enumerate().filter(|(at, _)| *at != LOST_AFTER).map(|(_, request)| request).collect();
    let counted = ["inputTokens", "cachedInputTokens"].map(|name| usage[name].as_i64().unwrap_or(-1));
    assert_eq!(counted, sum(&answered), "{model}: the run counts what the server counted");
    for (part, requests) in [("the run", &answered[1..]), ("the takeover", &answered[LOST_AFTER..])] {
        let [input, cached] = sum(requests);
        assert!(
            cached * 100 >= input * LEAST_PERCENT,
            "{model}: in {part} {cached} of {input} tokens are cached"
        );
    }
}
