//! The web pages in the result of a run: what its searches found, what it read, and what its result cites.
//! Pure.

use std::collections::{BTreeSet, HashMap};

use shared::net::public_url::MAX_URL_BYTES;
use shared::runs::events::{FoundSource, SourceUse};
use shared::runs::{RunResult, RunSource};

use super::citations::Citable;
use super::transcript::Transcript;

/// The result with its sources.
pub(super) fn with_sources(result: RunResult, transcript: &Transcript) -> RunResult {
    let pages = transcript.pages();
    if pages.is_empty() {
        return result;
    }
    let citable = Citable::of(pages);
    let mut cited = transcript.published().cited(transcript.messages(), &citable);
    match &result.data {
        // The text is the same data as JSON, where brackets are no citations.
        Some(data) => citable.add_cited_in(data, &mut cited),
        None => citable.add_cited(&result.text, &mut cited),
    }
    RunResult { sources: listed(pages, &cited), ..result }
}

/// Each URL once, with its strongest use, in the order of the numbers.
fn listed(pages: &[FoundSource], cited: &BTreeSet<u32>) -> Vec<RunSource> {
    let mut by_url: HashMap<&str, RunSource> = HashMap::new();
    for page in pages.iter().filter(|page| page.url.len() <= MAX_URL_BYTES) {
        let source = by_url.entry(&page.url).or_insert_with(|| RunSource {
            id: page.id,
            url: page.url.clone(),
            title: String::new(),
            how: SourceUse::Searched,
        });
        source.how = source.how.max(page.how);
        if source.title.is_empty() {
            let end = page.title.floor_char_boundary(RunSource::MAX_TITLE_BYTES);
            page.title[..end].clone_into(&mut source.title);
        }
    }
    let mut sources: Vec<_> = by_url.into_values().collect();
    for source in sources.iter_mut().filter(|source| cited.contains(&source.id)) {
        source.how = SourceUse::Cited;
    }
    sources.sort_by_key(|source| (std::cmp::Reverse(source.how), source.id));
    sources.truncate(RunSource::MAX_LISTED);
    sources.sort_by_key(|source| source.id);
    sources
}

#[cfg(test)]
mod tests;
