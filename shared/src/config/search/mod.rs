//! The file of CAPI_SEARCH: the providers of the tool `web_search`. The gateway needs their names, the
//! run-worker the rest. An installation without the file has no provider.

mod check;
mod missing;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

pub use missing::SearchMissing;

/// The parsed file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchFile {
    providers: Vec<SearchEntry>,
}

/// One `[[providers]]` entry. docs/guides/search.md says which provider needs which setting.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchEntry {
    name: Option<String>,
    pub provider: SearchKind,
    base_url: Option<Url>,
    /// Environment variable that holds the provider's key.
    pub key_env: Option<String>,
    /// File that holds the provider's key.
    pub key_file: Option<PathBuf>,
    /// The directory of the pages that `local` searches.
    pub path: Option<PathBuf>,
    #[serde(default)]
    pub quota: SearchQuota,
    /// Whether apps search with it if they name no provider.
    #[serde(default)]
    pub default: bool,
}

/// Whose API a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchKind {
    Searxng,
    Brave,
    Tavily,
    Serper,
    /// An index of files of the operator, within the worker.
    Local,
}

/// The most searches of all runs in a period (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchQuota {
    pub day: Option<u32>,
    pub month: Option<u32>,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum SearchFileError {
    #[error("CAPI_SEARCH: cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("CAPI_SEARCH: {0}: {1}")]
    Parse(PathBuf, Box<toml::de::Error>),
    /// The file is valid TOML, but its settings contradict each other.
    #[error("CAPI_SEARCH: {0}: {1}")]
    Invalid(PathBuf, String),
}

impl SearchFile {
    /// Reads and checks the file, if there is one.
    pub fn read(path: Option<&Path>) -> Result<Self, SearchFileError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text =
            std::fs::read_to_string(path).map_err(|error| SearchFileError::Read(path.to_owned(), error))?;
        let file: Self = toml::from_str(&text)
            .map_err(|error| SearchFileError::Parse(path.to_owned(), Box::new(error)))?;
        file.check().map_err(|what| SearchFileError::Invalid(path.to_owned(), what))?;
        Ok(file)
    }

    /// All providers, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[SearchEntry] {
        &self.providers
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.iter().map(SearchEntry::name)
    }

    /// The provider that an app names, or else the default one: the first if none is marked.
    #[must_use]
    pub fn chosen(&self, asked: Option<&str>) -> Option<&SearchEntry> {
        match asked {
            Some(name) => self.providers.iter().find(|entry| entry.name() == name),
            None => self.providers.iter().find(|entry| entry.default).or(self.providers.first()),
        }
    }
}

impl SearchEntry {
    /// The name by which apps choose it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.provider.as_str())
    }

    /// The address of the API, or of the pages of `local`. A checked entry has one.
    #[must_use]
    pub fn base_url(&self) -> Option<Url> {
        self.base_url.clone().or_else(|| Url::parse(self.provider.usual_base_url()?).ok())
    }
}

impl SearchKind {
    /// As the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Searxng => "searxng",
            Self::Brave => "brave",
            Self::Tavily => "tavily",
            Self::Serper => "serper",
            Self::Local => "local",
        }
    }

    /// `None` for providers that each operator runs.
    const fn usual_base_url(self) -> Option<&'static str> {
        match self {
            Self::Brave => Some("https://api.search.brave.com"),
            Self::Tavily => Some("https://api.tavily.com"),
            Self::Serper => Some("https://google.serper.dev"),
            Self::Searxng | Self::Local => None,
        }
    }

    /// Whether its API takes a key.
    const fn takes_key(self) -> bool {
        self.usual_base_url().is_some()
    }
}
