//! `web_search`: searches with a provider of CAPI_SEARCH. The model gets numbered results, which it cites by
//! their numbers. The arguments are not repeated in the result: an app with `urls = "known"` may fetch what
//! results name, and the model must not add to that.

mod arguments;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shared::runs::ErrorCode;
use shared::runs::events::{FoundSource, SourceUse};
use shared::tools::WEB_SEARCH;

use super::{Files, Invocation, Output, Spec, Tool, ToolError};
use crate::search::{MAX_SEARCHES, Search, Selected};

/// A request of 10 s, and 14 s to try again when searches come too fast.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Ten results have about 8 KiB. Only hostile ones have more.
const MAX_RESULT_BYTES: usize = 24 * 1024;

/// What a run may search.
#[derive(Debug)]
pub struct RunSearch {
    /// The provider that the app names.
    pub provider: Option<String>,
    /// Searches that the run may still make. The calls of a step share it.
    left: AtomicU32,
}

impl RunSearch {
    /// For a run that has made so many searches.
    #[must_use]
    pub fn after(provider: Option<String>, made: u32) -> Self {
        Self { provider, left: MAX_SEARCHES.saturating_sub(made).into() }
    }

    /// Takes one search, if one is left.
    fn take(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

pub(super) struct WebSearch {
    spec: Spec,
    /// `None`: the installation has no provider. Runs of apps with the tool do not begin then.
    search: Option<Arc<Search>>,
}

impl WebSearch {
    pub(super) fn new(search: Option<Arc<Search>>) -> Self {
        let spec = Spec {
            name: WEB_SEARCH,
            description: "Searches the web and returns numbered results with title, URL, date and a short \
                          passage. Read a page before you rely on it. Cite pages in your answer by their \
                          numbers, like [1]."
                .into(),
            parameters: super::arguments::schema::<arguments::Arguments>(),
            repeatable: true,
            files: Files::None,
            timeout: TIMEOUT,
            max_result_bytes: MAX_RESULT_BYTES,
        };
        Self { spec, search }
    }

    async fn search(&self, invocation: Invocation) -> Result<Output, ToolError> {
        let query = arguments::query(invocation.arguments)?;
        let asked = invocation.search.provider.as_deref();
        let engine = self.search.as_deref().and_then(|search| search.engine(asked)).ok_or_else(|| {
            ToolError::Fatal(ErrorCode::ToolError, "CAPI_SEARCH lacks the search provider".to_owned())
        })?;
        if !invocation.search.take() {
            let why = format!(
                "This run has made {MAX_SEARCHES} searches, the most that it may. Answer with what you have."
            );
            return Err(ToolError::RespondToModel(why));
        }
        if let Some(host) = engine.host() {
            invocation.egress.begin_search(host).await.map_err(ToolError::RespondToModel)?;
        }
        let (run, call, provider) = (invocation.run, invocation.id, engine.name());
        let selected = engine.search(&query).await.map_err(|failure| {
            tracing::warn!(%failure, provider, run_id = %run, call_id = %call, "failed to search");
            ToolError::RespondToModel(failure.sentence())
        })?;
        if selected.private > 0 {
            let dropped = selected.private;
            tracing::info!(provider, dropped, run_id = %run, call_id = %call, "left out private addresses");
        }
        let ids: Vec<_> = selected.hits.iter().map(|hit| invocation.source_ids.of(&hit.url)).collect();
        Ok(Output { text: text::of(&selected, &ids), sources: sources(selected, &ids), ..Output::default() })
    }
}

/// The results that have numbers.
fn sources(selected: Selected, ids: &[Option<u32>]) -> Vec<FoundSource> {
    let numbered = selected.hits.into_iter().zip(ids);
    let source = |(hit, id): (crate::search::Hit, &Option<u32>)| {
        let (url, title, snippet, date) = (hit.url, hit.title, hit.snippet, hit.date);
        Some(FoundSource { id: (*id)?, url, title, how: SourceUse::Searched, snippet, date })
    };
    numbered.filter_map(source).collect()
}

impl Tool for WebSearch {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.search(invocation).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_number_of_searches() {
        let search = RunSearch::after(None, MAX_SEARCHES - 2);
        assert_eq!([search.take(), search.take(), search.take()], [true, true, false]);
        assert!(!RunSearch::after(None, MAX_SEARCHES + 5).take());
    }
}
