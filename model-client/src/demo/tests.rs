//! The scripts against conversations as the worker makes them.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::{Message, Offered, Outlet, ToolChoice};

/// A conversation with the demo model. The results of its calls come from the test.
struct Stage {
    messages: Vec<Message>,
    tools: Vec<&'static str>,
    schema: Option<Value>,
    tool_choice: ToolChoice,
}

impl Stage {
    fn new(instructions: &str, prompt: &str, tools: &[&'static str]) -> Self {
        let messages = vec![Message::System(instructions.to_owned()), Message::user(prompt.to_owned())];
        Self { messages, tools: tools.to_vec(), schema: None, tool_choice: ToolChoice::Auto }
    }

    fn with_files(mut self, files: &[&str]) -> Self {
        let lines = files.iter().map(|file| format!("- inputs/{file} (text/plain, 3 bytes)"));
        let list = lines.collect::<Vec<_>>().join("\n");
        self.messages.push(Message::user(format!("The caller's files are in the workspace:\n{list}")));
        self
    }

    fn with_schema(mut self, members: &[&str]) -> Self {
        let properties: serde_json::Map<_, _> =
            members.iter().map(|member| ((*member).to_owned(), json!({}))).collect();
        self.schema = Some(json!({"type": "object", "properties": properties}));
        self
    }

    fn asked(&self) -> Reply {
        let none = json!({"type": "object"});
        let offered = |name: &&'static str| Offered { name, description: "", parameters: &none };
        let tools: Vec<_> = self.tools.iter().map(offered).collect();
        let request = Request {
            messages: &self.messages,
            tools: &tools,
            schema: self.schema.as_ref(),
            max_tokens: None,
            tool_choice: self.tool_choice,
        };
        next(&Scene::of(&request))
    }

    /// Asks, answers the calls with these results in turn, and returns the names of the tools.
    fn step(&mut self, results: &[&str]) -> String {
        let calls = self.messages.iter().filter_map(|message| match message {
            Message::Assistant { calls, .. } => Some(calls.len()),
            _ => None,
        });
        let answer = self.asked().into_answer(calls.sum());
        let names: Vec<_> = answer.calls.iter().map(|call| call.name.clone()).collect();
        assert_eq!(names.len(), results.len(), "{answer:?}");
        let (text, calls) = (answer.text.to_string(), answer.calls);
        let ids: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
        self.messages.push(Message::Assistant { text, reasoning: None, calls });
        // Results may come in another order.
        for (call, content) in ids.into_iter().zip(results).rev() {
            self.messages.push(Message::Tool { call, content: (*content).to_owned() });
        }
        names.join(" ")
    }

    fn end(&self) -> String {
        let Reply { text, calls } = self.asked();
        assert_eq!(calls, [], "{text}");
        text
    }
}

const SAVED: &str = "Saved.";

#[test]
fn a_chart_is_drawn() {
    let tools = ["python", "read_file", "save_artifact"];
    let mut stage =
        Stage::new("Draw one chart.", "Question: How did 売上 develop?\n\nThe table is in x.", &tools)
            .with_files(&["notes.txt", "sales (1).csv"]);
    assert_eq!(stage.step(&["月,売上\n1月,3\n"]), "read_file");
    let Reply { calls, .. } = stage.asked();
    let script = calls[0].1["script"].as_str().unwrap();
    assert!(script.contains("inputs/sales (1).csv") && script.contains("売上"), "{script}");
    let point = |label: &str, value: i32| json!({"label": label, "value": value});
    let found = json!({"series": "売上", "rows": 2, "total": 12, "first": point("1月", 3),
        "last": point("2月", 9), "highest": point("2月", 9), "lowest": point("1月", 3)});
    assert_eq!(stage.step(&[&format!("exit code 0\n\nRESULT {found}\n")]), "python");
    assert_eq!(stage.step(&[SAVED]), "save_artifact");
    let end = stage.end();
    assert!(end.contains("from 3 (1月) to 9 (2月)") && end.contains("12"), "{end}");
}

#[test]
fn a_program_that_fails_is_no_success() {
    let tools = ["python", "read_file", "save_artifact"];
    let mut stage = Stage::new("Draw one chart.", "Question: Why?", &tools).with_files(&["a.csv"]);
    stage.step(&[""]);
    stage.step(&["exit code 1\nthe table has no column of numbers"]);
    let end = stage.end();
    assert!(end.contains("demo model") && end.contains("no column of numbers"), "{end}");
}

#[test]
fn the_last_step_calls_nothing() {
    let mut stage =
        Stage::new("Draw one chart.", "Question: Why?", &["python", "read_file", "save_artifact"])
            .with_files(&["a.csv"]);
    stage.tool_choice = ToolChoice::None;
    assert!(stage.end().contains("may call no more tools"));
}

#[test]
fn a_program_is_fixed_in_two_rounds() {
    let tools = ["shell", "read_file", "write_file", "edit_file", "list_files", "save_artifact"];
    let mut stage = Stage::new("You mend programs.", "Make the tests pass.", &tools)
        .with_files(&["average.py", "test_average.py"]);
    let program = include_str!("../../../deploy/samples/fix/average.py");
    assert_eq!(stage.step(&["exit code 0\n2 failed, 1 passed in 0.01s"]), "shell");
    assert_eq!(stage.step(&[program]), "read_file");
    assert_eq!(stage.step(&["Replaced.", "1 failed, 2 passed in 0.01s"]), "edit_file shell");
    assert_eq!(stage.step(&["Replaced.", "3 passed in 0.01s"]), "edit_file shell");
    assert_eq!(stage.step(&[SAVED]), "save_artifact");
    let end = stage.end();
    assert!(end.contains("divided the sum by two") && end.contains("not sorted"), "{end}");
}

#[test]
fn an_unknown_mistake_is_not_hidden() {
    let tools = ["shell", "read_file", "edit_file", "save_artifact"];
    let mut stage = Stage::new("", "Make the tests pass.", &tools).with_files(&["a.py", "a_test.py"]);
    stage.step(&["1 failed in 0.01s"]);
    stage.step(&["print('hello')"]);
    assert!(stage.end().contains("does not know"));
}

#[test]
fn a_report_cites_three_pages() {
    let tools = ["current_time", "web_search", "fetch_url", "python", "save_artifact"];
    let mut stage = Stage::new("Write a report.", "Question: Is the new ferry quiet?", &tools);
    let listed = "[1] Noise — http://127.0.0.80/1 — 2026-01-01\nx\n[2] Cost — http://127.0.0.80/2\nx\n\
                  [3] C — http://127.0.0.80/3\nx\n[4] D — http://127.0.0.80/4";
    assert_eq!(stage.step(&["Tuesday, 2026-12-01T09:00:00Z (UTC)", listed]), "current_time web_search");
    let quiet = "Source [1]\nThe new ferry is quiet in the harbour.";
    let pages = [quiet, "Nothing to see here at all.", "Passengers call the new ferry quiet too."];
    assert_eq!(stage.step(&pages), "fetch_url fetch_url fetch_url");
    let script = stage.asked().calls[0].1["script"].as_str().unwrap().to_owned();
    assert!(script.contains("2026-12-01") && !script.contains("127.0.0.80/2"), "{script}");
    assert_eq!(stage.step(&["RESULT {\"pages\": 1}"]), "python");
    assert_eq!(stage.step(&[SAVED]), "save_artifact");
    let end = stage.end();
    assert!(end.starts_with("The new ferry is quiet in the harbour. [1]") && end.contains("[3]"), "{end}");
}

#[test]
fn a_search_without_results_ends_the_report() {
    let tools = ["current_time", "web_search", "fetch_url", "python", "save_artifact"];
    let mut stage = Stage::new("Write a report.", "Question: Is the new ferry quiet?", &tools);
    stage.step(&["now", "The search found nothing."]);
    assert!(stage.end().contains("found no page"));
}

#[test]
fn an_invoice_becomes_json() {
    let mut stage = Stage::new("You read invoices.", "Read it.", &["python", "read_file"])
        .with_files(&["invoice.pdf"])
        .with_schema(&["number", "lines", "total"]);
    assert_eq!(stage.step(&["PDF, 1 page"]), "read_file");
    assert_eq!(stage.step(&["exit code 0\nRESULT {\"total\": 12.5}"]), "python");
    assert_eq!(stage.end(), r#"{"total":12.5}"#);
}

#[test]
fn slides_follow_the_paragraphs() {
    let text = "Title: Bees\n\nBees dance. They show the way.\r\nIt works.\r\n\r\nHoney. It is sweet.";
    let mut stage = Stage::new("You make slides.", text, &["python", "save_artifact"]);
    let script = stage.asked().calls[0].1["script"].as_str().unwrap().to_owned();
    assert!(script.contains("Bees dance") && script.contains("They show the way."), "{script}");
    assert_eq!(stage.step(&["RESULT {\"slides\": 3}"]), "python");
    assert_eq!(stage.step(&[SAVED]), "save_artifact");
    assert_eq!(stage.end(), "The presentation has 3 slides: slides.pptx.");
}

#[test]
fn texts_are_read_without_tools() {
    let extract = Stage::new("You read facts.", "Who?\n\nAda Lovelace, aged 36, lives in London.", &[])
        .with_schema(&["name", "age", "city"]);
    let facts: Value = serde_json::from_str(&extract.end()).unwrap();
    assert_eq!(facts, json!({"name": "Ada Lovelace", "age": 36, "city": "London"}));
    let summarise = Stage::new("You summarise texts.", "Summarise this text:\n\nOne. Two. Three.", &[]);
    assert_eq!(summarise.end(), "One. Two.");
}

#[test]
fn another_task_is_refused_honestly() {
    for tools in [&[][..], &["python", "save_artifact"], &["web_search"]] {
        let stage = Stage::new("You are a poet.", "Write a poem about the sea.", tools);
        assert!(stage.end().contains("I am capi's demo model"), "{tools:?}");
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Outlet for Heard {
    fn is_watched(&self) -> bool {
        true
    }

    fn send(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_streamed_as_words() {
    let heard = Heard::default();
    let messages = [Message::user("Hello".to_owned())];
    let request = Request {
        messages: &messages,
        tools: &[],
        schema: None,
        max_tokens: None,
        tool_choice: ToolChoice::Auto,
    };
    let begun = tokio::time::Instant::now();
    let answer = Demo::ask(request, Words::new(&heard)).await;
    let took = begun.elapsed();
    let pieces = heard.0.lock().unwrap().clone();
    assert!(pieces.len() > 5, "{pieces:?}");
    assert_eq!((pieces.concat(), &*answer.text), (UNKNOWN.to_owned(), UNKNOWN));
    assert!(took.as_secs() < 4, "{took:?}");
    assert_eq!((answer.finish_reason.as_str(), answer.usage), ("stop", None));
}
