//! One search with one provider.

use shared::config::{SearchEntry, SearchQuota};
use shared::db::Db;
use shared::net::ip_policy::IpPolicy;

use super::select::select;
use super::{Found, SearchFailure, SearchProvider, SearchQuery, Selected, quota};

/// A provider with its quota.
pub struct Engine {
    name: String,
    provider: Box<dyn SearchProvider>,
    quota: SearchQuota,
    fetch_policy: IpPolicy,
    db: Db,
}

impl Engine {
    pub(super) fn new(
        entry: &SearchEntry,
        provider: Box<dyn SearchProvider>,
        fetch_policy: IpPolicy,
        db: Db,
    ) -> Self {
        Self { name: entry.name().to_owned(), provider, quota: entry.quota, fetch_policy, db }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host that a search contacts. `None` if it contacts none.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.provider.host()
    }

    pub async fn search(&self, query: &SearchQuery) -> Result<Selected, SearchFailure> {
        let found = self.find(query).await;
        let outcome = match &found {
            Ok(found) if found.hits.is_empty() => "empty",
            Ok(_) => "ok",
            Err(failure) => failure.outcome(),
        };
        let provider = || self.name.clone();
        metrics::counter!("capi_searches_total", "provider" => provider(), "outcome" => outcome).increment(1);
        let Found { hits, ignored } = found?;
        let selected = select(&hits, &self.fetch_policy, query.count);
        let left_out = [("private", selected.private), ("unusable", selected.unusable)];
        for (reason, number) in left_out.into_iter().filter(|(_, number)| *number > 0) {
            let labels = [("provider", provider()), ("reason", reason.to_owned())];
            let number = number.try_into().unwrap_or(u64::MAX);
            metrics::counter!("capi_search_results_dropped_total", &labels).increment(number);
        }
        Ok(Selected { ignored, ..selected })
    }

    async fn find(&self, query: &SearchQuery) -> Result<Found, SearchFailure> {
        quota::take(&self.db, &self.name, self.quota).await?;
        self.provider.search(query).await
    }
}
