//! The search providers of CAPI_SEARCH behind one trait. Read `engine` first: one search, with its quota, its
//! metrics and the results that are left out. `http` asks a provider over HTTP in the form of its API
//! (`searxng`, `brave`, `tavily`, `serper`). `local` searches files of the operator.

mod brave;
mod clean;
mod country;
mod engine;
mod failure;
mod http;
mod key;
mod local;
mod query;
mod quota;
mod searxng;
mod select;
mod serper;
mod tavily;

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use shared::apps::AppDefinition;
use shared::config::{SearchEntry, SearchFile, SearchKind, SearchMissing};
use shared::db::Db;
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::PublicUrl;

pub use engine::Engine;
pub use failure::SearchFailure;
pub use query::{Freshness, Region, SafeSearch, SearchQuery};
pub use select::Selected;

use brave::Brave;
use http::HttpProvider;
use local::Local;
use searxng::Searxng;
use serper::Serper;
use tavily::Tavily;

/// Searches of one run. A report needs about ten; a run that asks more often repeats itself, and providers
/// are paid for each search.
pub const MAX_SEARCHES: u32 = 30;
/// Results of one search. With their snippets they take a few thousand tokens.
pub const MAX_RESULTS: usize = 10;

/// One result, as the provider gives it or cleaned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hit {
    pub title: String,
    pub url: String,
    pub snippet: String,
    pub date: Option<String>,
}

/// The answer of a provider.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) hits: Vec<Hit>,
    /// The arguments that this provider cannot apply.
    pub(crate) ignored: Vec<&'static str>,
}

/// Searches for pages.
pub(crate) trait SearchProvider: Send + Sync + 'static {
    /// The host that a search contacts. `None` if it contacts none.
    fn host(&self) -> Option<&str>;

    fn search<'s>(&'s self, query: &'s SearchQuery) -> BoxFuture<'s, Result<Found, SearchFailure>>;
}

/// All providers of the installation.
pub struct Search {
    file: SearchFile,
    engines: Vec<Engine>,
}

impl Search {
    /// Opens the providers and reads their keys. `None` if the file names none. `fetch_policy` decides which
    /// results the model is shown: those that `fetch_url` may read.
    pub fn open(file: SearchFile, fetch_policy: &IpPolicy, db: &Db) -> anyhow::Result<Option<Arc<Self>>> {
        if file.all().is_empty() {
            return Ok(None);
        }
        let mut engines = Vec::new();
        for entry in file.all() {
            let provider =
                provider(entry, fetch_policy).with_context(|| format!("CAPI_SEARCH: {}", entry.name()))?;
            engines.push(Engine::new(entry, provider, fetch_policy.clone(), db.clone()));
        }
        Ok(Some(Arc::new(Self { file, engines })))
    }

    /// The provider that an app names, or else the default one.
    #[must_use]
    pub fn engine(&self, asked: Option<&str>) -> Option<&Engine> {
        let name = self.file.chosen(asked)?.name();
        self.engines.iter().find(|engine| engine.name() == name)
    }
}

/// Why runs of the app cannot search on a worker with these providers.
#[must_use]
pub fn missing_for(search: Option<&Search>, app: &AppDefinition) -> Option<SearchMissing> {
    search.map_or_else(|| SearchFile::default().missing_for(app), |search| search.file.missing_for(app))
}

fn provider(entry: &SearchEntry, fetch_policy: &IpPolicy) -> anyhow::Result<Box<dyn SearchProvider>> {
    let base_url = entry.base_url().context("base_url is missing")?;
    let key = || key::read(entry);
    Ok(match entry.provider {
        SearchKind::Searxng => Box::new(HttpProvider::new(Searxng::new(&base_url)?, &base_url)?),
        SearchKind::Brave => Box::new(HttpProvider::new(Brave::new(&base_url, &key()?)?, &base_url)?),
        SearchKind::Tavily => Box::new(HttpProvider::new(Tavily::new(&base_url, &key()?)?, &base_url)?),
        SearchKind::Serper => Box::new(HttpProvider::new(Serper::new(&base_url, &key()?)?, &base_url)?),
        SearchKind::Local => {
            if PublicUrl::parse(base_url.as_str(), fetch_policy).is_err() {
                tracing::warn!(
                    provider = entry.name(),
                    "the base_url of a local search provider is not public: all its results will be left \
                     out. Add its network to CAPI_FETCH_ALLOWED_NETWORKS"
                );
            }
            let dir = entry.path.clone().context("path is missing")?;
            Box::new(Local::new(dir, base_url)?)
        }
    })
}
