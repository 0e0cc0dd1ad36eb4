//! The sample Summarise: the first sentences of the text.

use super::reply::Reply;
use super::scene::Scene;
use super::sentences::split;

/// As the sample's instructions say.
const SENTENCES: usize = 2;

pub(super) fn answer(scene: &Scene<'_>) -> Option<Reply> {
    let is_task = scene.has_no_tools() && !scene.has_schema() && scene.mentions("summaris");
    let sentences = split(scene.text());
    if !is_task || sentences.is_empty() {
        return None;
    }
    Some(Reply::text(sentences.into_iter().take(SENTENCES).collect::<Vec<_>>().join(" ")))
}
