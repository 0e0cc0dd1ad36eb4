//! The sample Chart: reads a table, draws it, publishes the chart.

use serde_json::{Value, json};

use super::python;
use super::reply::Reply;
use super::scene::Scene;

const PROGRAM: &str = include_str!("chart.py");

pub(super) fn answer(scene: &Scene<'_>) -> Option<Reply> {
    let offered = scene.offers(&["python", "read_file", "save_artifact"]) && scene.mentions("chart");
    let table = scene.files_with(&[".csv", ".tsv", ".xlsx"]).next().filter(|_| offered)?;
    let question = scene.labelled("Question:");
    Some(match scene.results("python").next_back() {
        None if scene.turns.is_empty() => {
            Reply::text("I look at the table first.").call("read_file", json!({"path": table, "lines": 20}))
        }
        None => {
            let data = json!({"table": table, "question": question});
            Reply::text("I compute the numbers that matter and draw the chart.")
                .call("python", python::call(PROGRAM, &data))
        }
        Some(output) => match python::result(output) {
            None => Reply::stuck(&python::failure(output)),
            Some(_) if !scene.has_called("save_artifact") => Reply::text("The chart is drawn; I publish it.")
                .call("save_artifact", json!({"path": "chart.png"})),
            Some(found) => Reply::text(in_words(&found)),
        },
    })
}

/// Two sentences with the numbers that the program found.
fn in_words(found: &Value) -> String {
    let text = |name: &str| found[name].as_str().unwrap_or_default();
    let at = |name: &str| {
        let point = &found[name];
        format!("{} ({})", point["value"], point["label"].as_str().unwrap_or_default())
    };
    format!(
        "**{}** went from {} to {}. The highest value is {}, the lowest {}, and all {} rows together make \
         {}; the chart is chart.png.",
        text("series"),
        at("first"),
        at("last"),
        at("highest"),
        at("lowest"),
        found["rows"],
        found["total"],
    )
}
