//! The web pages that a run found, read or cites.

use serde::{Deserialize, Serialize};

/// A web page in the result of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSource {
    /// The number by which the model cites the page. One URL has one number in a run.
    pub id: u32,
    pub url: String,
    /// Empty if the page has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    pub how: SourceUse,
    /// The passage that a search shows; empty for a page that was read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snippet: String,
    /// As the search provider writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// How far the run used a page. A later use includes the former ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SourceUse {
    /// A search listed it.
    Searched,
    /// A tool read it.
    Read,
    /// The result names its number or its URL.
    Cited,
}

impl SourceUse {
    /// The stored and shown name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Searched => "searched",
            Self::Read => "read",
            Self::Cited => "cited",
        }
    }
}
