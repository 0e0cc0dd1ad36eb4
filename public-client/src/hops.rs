//! The caller's own rules for the URLs of a GET: the first one, and that of each redirect.

use shared::net::failure::RequestFailure;
use url::Url;

/// Decides about each request of a GET.
pub trait Hops: Sync {
    /// Called before each request, in order. `redirects` is the number of redirects that led here. An error
    /// is a sentence that says why the URL is refused.
    fn check(&self, url: &Url, redirects: usize) -> impl Future<Output = Result<(), String>> + Send;
}

/// Why a GET has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GetFailure {
    #[error(transparent)]
    Request(#[from] RequestFailure),
    /// [`Hops::check`] refused a URL.
    #[error("{0}")]
    Refused(String),
}
