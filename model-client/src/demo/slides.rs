//! The sample Slides: makes a presentation from a text, one slide for each paragraph.

use serde_json::{Value, json};

use super::python;
use super::reply::Reply;
use super::scene::Scene;
use super::sentences::split;

const PROGRAM: &str = include_str!("slides.py");
/// More slides are no presentation.
const MAX_SLIDES: usize = 20;
/// As the sample's instructions say.
const MAX_POINTS: usize = 5;

pub(super) fn answer(scene: &Scene<'_>) -> Option<Reply> {
    let is_task = scene.offers(&["python", "save_artifact"]) && scene.mentions("slides");
    let slides = outline(scene.text());
    if !is_task || slides.is_empty() {
        return None;
    }
    let count = slides.len();
    Some(match scene.results("python").next_back() {
        None => {
            let data = json!({"title": scene.labelled("Title:"), "slides": slides});
            Reply::text(format!("I make a title and {count} slides of the paragraphs."))
                .call("python", python::call(PROGRAM, &data))
        }
        Some(output) => match python::result(output) {
            None => Reply::stuck(&python::failure(output)),
            Some(_) if !scene.has_called("save_artifact") => {
                Reply::text("The presentation is written and reads back well; I publish it.")
                    .call("save_artifact", json!({"path": "slides.pptx"}))
            }
            Some(found) => {
                Reply::text(format!("The presentation has {} slides: slides.pptx.", found["slides"]))
            }
        },
    })
}

/// A slide for each paragraph: its first sentence is the heading.
fn outline(text: &str) -> Vec<Value> {
    let slide = |paragraph: &str| {
        let mut sentences = split(paragraph).into_iter();
        let heading = sentences.next()?;
        let points: Vec<_> = sentences.take(MAX_POINTS).collect();
        Some(json!({"heading": heading.trim_end_matches(['.', ':']), "points": points}))
    };
    // A browser sends CRLF.
    text.replace("\r\n", "\n").split("\n\n").filter_map(slide).take(MAX_SLIDES).collect()
}
