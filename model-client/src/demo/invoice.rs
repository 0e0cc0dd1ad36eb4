//! The sample Invoice: reads a PDF, and checks its sums.

use serde_json::json;

use super::python;
use super::reply::Reply;
use super::scene::Scene;

const PROGRAM: &str = include_str!("invoice.py");

pub(super) fn answer(scene: &Scene<'_>) -> Option<Reply> {
    let is_task = scene.offers(&["python", "read_file"]) && scene.wants(&["number", "lines", "total"]);
    let invoice = scene.files_with(&[".pdf"]).next().filter(|_| is_task)?;
    Some(match scene.results("python").next_back() {
        None if scene.turns.is_empty() => {
            Reply::text("I read the invoice first.").call("read_file", json!({"path": invoice}))
        }
        None => Reply::text("I take the amounts out of the text and add them up.")
            .call("python", python::call(PROGRAM, &json!({"invoice": invoice}))),
        Some(output) => match python::result(output) {
            None => Reply::stuck(&python::failure(output)),
            Some(found) => Reply::text(found.to_string()),
        },
    })
}
