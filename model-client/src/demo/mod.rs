//! The demo model: scripts that play the sample apps of deploy/apps with their real tools, so that capi can
//! be tried without a language model. It sends nothing to any server. Each answer follows from the
//! conversation alone, so a new attempt of a run continues where the one before ended. It says so if it does
//! not know a task.

mod chart;
mod extract;
mod fix;
mod invoice;
mod python;
mod reply;
mod report;
mod scene;
mod sentences;
mod slides;
mod speak;
mod summarise;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use shared::config::{Model, ModelSettings};

use self::reply::Reply;
use self::scene::Scene;
use super::{Answer, Request, Words};

/// The next answer of one task, or none if the conversation is about another task.
type Script = fn(&Scene<'_>) -> Option<Reply>;

const SCRIPTS: [Script; 7] = [
    chart::answer,
    fix::answer,
    report::answer,
    invoice::answer,
    slides::answer,
    extract::answer,
    summarise::answer,
];

const UNKNOWN: &str = "I am capi's demo model. I am a script, not a language model. I can only play the \
     sample apps Chart, Extract, Fix, Invoice, Report, Slides and Summarise, and I do not know this task. To \
     run this app, choose a language model. The guide at /docs/guides/models says how to connect one.";

pub(crate) struct Demo {
    settings: Arc<ModelSettings>,
}

impl Demo {
    pub(crate) fn new(model: &Model) -> Self {
        Self { settings: Arc::new(model.settings()) }
    }

    pub(crate) fn settings(&self) -> Arc<ModelSettings> {
        Arc::clone(&self.settings)
    }

    /// Says the next answer word by word.
    pub(crate) async fn ask(request: Request<'_>, words: Words<'_>) -> Answer {
        let scene = Scene::of(&request);
        let reply = next(&scene);
        speak::say(&reply.text, words).await;
        reply.into_answer(scene.calls())
    }
}

fn next(scene: &Scene<'_>) -> Reply {
    let reply = SCRIPTS.iter().find_map(|script| script(scene)).unwrap_or_else(|| Reply::text(UNKNOWN));
    if reply.calls.is_empty() || scene.may_call() {
        return reply;
    }
    Reply::stuck("The run may call no more tools.")
}
