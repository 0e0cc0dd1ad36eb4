//! Why a search has no answer, in a sentence for the model and in words for the log.

use shared::net::failure::RequestFailure;

/// What the model can do when no search helps.
const WITHOUT: &str = "Answer with what you have, and say that you could not search.";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchFailure {
    #[error("the provider answered HTTP {0}: the searches that it allows are used up")]
    OverQuota(u16),
    #[error("the provider answered HTTP 429: searches come too fast")]
    TooFast,
    /// The quota of CAPI_SEARCH.
    #[error("the quota of CAPI_SEARCH for this {0} is used up")]
    OwnQuota(&'static str),
    /// The database did not count the search.
    #[error("the search could not be counted for the quota: {0}")]
    NotCounted(String),
    #[error("the provider answered HTTP {0}: it refuses the key of CAPI_SEARCH")]
    KeyRefused(u16),
    #[error("the server answers no JSON: add json to search.formats in its settings.yml")]
    JsonIsOff,
    #[error("the provider answered HTTP {0}: it refuses the search")]
    Refused(u16),
    #[error("the provider answered HTTP {0}")]
    Unavailable(u16),
    #[error("the provider redirects; base_url must be its final address")]
    Redirects,
    #[error("the provider's answer is not in the form of its API")]
    Unreadable,
    #[error("no search engine behind the server answered")]
    NoEngine,
    #[error("the request failed: {0}")]
    Request(RequestFailure),
    #[error("the index of the files cannot be made or searched: {0}")]
    Index(String),
}

impl SearchFailure {
    /// The failure that a status other than 200 usually means.
    pub(super) const fn of_status(status: u16) -> Self {
        match status {
            // 402: payment required. 432 and 433 are Tavily's, for its plans.
            402 | 432 | 433 => Self::OverQuota(status),
            429 => Self::TooFast,
            401 | 403 => Self::KeyRefused(status),
            300..=399 => Self::Redirects,
            400..=499 => Self::Refused(status),
            _ => Self::Unavailable(status),
        }
    }

    /// The label of the metric.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::OverQuota(_) => "over_quota",
            Self::TooFast => "too_fast",
            Self::OwnQuota(_) => "own_quota",
            Self::NotCounted(_) => "not_counted",
            Self::KeyRefused(_) => "key_refused",
            Self::JsonIsOff | Self::Refused(_) | Self::Redirects => "refused",
            Self::Unavailable(_) | Self::NoEngine => "unavailable",
            Self::Unreadable => "unreadable",
            Self::Request(RequestFailure::Timeout) => "timeout",
            Self::Request(_) => "unreachable",
            Self::Index(_) => "index",
        }
    }

    /// The sentence for the model: what happened, and what to do next.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::OverQuota(_) => {
                format!("The search provider allows no more searches now. Do not search again. {WITHOUT}")
            }
            Self::TooFast => {
                "The search provider got too many searches at once, and refused this one. Try it again, \
                 with one search at a time."
                    .to_owned()
            }
            Self::OwnQuota(period) => format!(
                "All searches of this {period} are used up on this installation. Do not search again. \
                 {WITHOUT}"
            ),
            Self::KeyRefused(_) | Self::JsonIsOff | Self::Redirects => format!(
                "The search provider is not set up correctly; the operator must look at CAPI_SEARCH. Do not \
                 search again. {WITHOUT}"
            ),
            Self::Refused(_) => "The search provider refused this search. Try a shorter query in plain \
                                 words, without region, freshness and safe."
                .to_owned(),
            Self::Request(RequestFailure::Timeout) => {
                format!("The search provider did not answer in time. Try once more. {WITHOUT}")
            }
            Self::NotCounted(_)
            | Self::Unavailable(_)
            | Self::Unreadable
            | Self::NoEngine
            | Self::Request(_)
            | Self::Index(_) => {
                format!("The search failed: the search provider does not work now. Try once more. {WITHOUT}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_is_wrong() {
        for (status, expected) in [
            (429, "too_fast"),
            (402, "over_quota"),
            (432, "over_quota"),
            (401, "key_refused"),
            (403, "key_refused"),
            (302, "refused"),
            (422, "refused"),
            (500, "unavailable"),
            (503, "unavailable"),
            (204, "unavailable"),
        ] {
            let failure = SearchFailure::of_status(status);
            assert_eq!(failure.outcome(), expected, "{status}");
            assert!(failure.sentence().ends_with('.') && !failure.sentence().contains("HTTP"), "{status}");
        }
    }
}
