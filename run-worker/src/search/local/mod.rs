//! The provider `local`: searches files of the operator, so that the tool can be tried without an account.
//! The index is in memory, and is made with the first search. A worker that starts again reads the files
//! again.

mod files;
mod html;
mod index;
mod words;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use url::Url;

use super::{Found, Hit, SearchFailure, SearchProvider, SearchQuery};
use files::LocalPage;
use index::LocalIndex;

/// The index, made once for all searches. It goes on when the search that began it ends.
type Building = Shared<BoxFuture<'static, Result<Arc<LocalIndex>, SearchFailure>>>;

pub(super) struct Local {
    dir: PathBuf,
    base_url: Url,
    /// None until the first search.
    index: Mutex<Option<Building>>,
}

impl Local {
    /// Fails if the directory cannot be read.
    pub(super) fn new(dir: PathBuf, base_url: Url) -> anyhow::Result<Self> {
        std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        Ok(Self { dir, base_url, index: Mutex::default() })
    }

    async fn find(&self, query: &SearchQuery) -> Result<Found, SearchFailure> {
        let index = self.index().await?;
        let asked = query.clone();
        let finding = move || hits(&index, &asked).map_err(|error| SearchFailure::Index(error.to_string()));
        let hits = blocking(finding).await?;
        let ignored = [query.region.as_ref().map(|_| "region"), query.safe.map(|_| "safe")];
        Ok(Found { hits, ignored: ignored.into_iter().flatten().collect() })
    }

    /// The index that is made or being made. One that failed is made again.
    fn index(&self) -> Building {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if index.as_ref().and_then(Building::peek).is_some_and(Result::is_err) {
            *index = None;
        }
        let new = || build(self.dir.clone(), self.base_url.clone()).boxed().shared();
        index.get_or_insert_with(new).clone()
    }
}

async fn build(dir: PathBuf, base_url: Url) -> Result<Arc<LocalIndex>, SearchFailure> {
    blocking(move || {
        let begun = Instant::now();
        let (pages, left_out) =
            files::read(&dir, &base_url).map_err(|error| SearchFailure::Index(error.to_string()))?;
        if left_out > 0 {
            let dir = dir.display();
            tracing::warn!(%dir, left_out, "the local search has too many files; the last are left out");
        }
        let count = pages.len();
        let index = LocalIndex::build(pages).map_err(|error| SearchFailure::Index(error.to_string()))?;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(pages = count, milliseconds, "indexed the files of the local search");
        Ok(Arc::new(index))
    })
    .await
}

/// Runs work that would block other tasks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SearchFailure> + Send + 'static,
) -> Result<T, SearchFailure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SearchFailure::Index(error.to_string()))?
}

fn hits(index: &LocalIndex, query: &SearchQuery) -> tantivy::Result<Vec<Hit>> {
    let oldest = query.freshness.map(|freshness| Utc::now() - TimeDelta::days(freshness.days()));
    let is_fresh = |page: &LocalPage| oldest.is_none_or(|oldest| page.changed_at >= oldest);
    let found = index.search(&query.text, query.count, is_fresh)?;
    let hit = |(page, snippet): (&LocalPage, String)| Hit {
        title: page.title.clone(),
        url: page.url.to_string(),
        snippet,
        date: Some(page.changed_at.format("%Y-%m-%d").to_string()),
    };
    Ok(found.into_iter().map(hit).collect())
}

impl SearchProvider for Local {
    fn host(&self) -> Option<&str> {
        None
    }

    fn search<'s>(&'s self, query: &'s SearchQuery) -> BoxFuture<'s, Result<Found, SearchFailure>> {
        self.find(query).boxed()
    }
}
