//! Asks a provider over HTTP. The address is the operator's, so it may be private; the results are not.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use public_client::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use public_client::{Body, BodyEnd, CONNECT_TIMEOUT, Limits, PublicClient, Response};
use serde_json::Value;
use shared::net::ip_policy::IpPolicy;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use url::Url;

use super::{Found, Hit, SearchFailure, SearchProvider, SearchQuery};

/// An answer has some kilobytes for each result.
const LIMITS: Limits =
    Limits { connect: CONNECT_TIMEOUT, total: Duration::from_secs(10), body_bytes: 2 << 20 };
/// A provider may allow one search a second. Another attempt comes after this time, or after its Retry-After
/// if that is not longer than the most.
const PAUSE: Duration = Duration::from_millis(1100);
const MOST_PAUSE: Duration = Duration::from_secs(5);
/// From the first refusal, until a search stops to wait and to try again. Searches that come too fast wait
/// in turn, so this is time for the eight that a step makes at once. The last attempt may take as long as
/// the first one, and the tool has 30 s.
const TRIES: Duration = Duration::from_secs(14);
/// Attempts of one search. The searches of other workers may take its place.
const MAX_REPEATS: u32 = 3;

/// The form of one provider's API. Pure.
pub(super) trait Api: Send + Sync + 'static {
    fn request(&self, query: &SearchQuery) -> ApiRequest;

    fn hits(&self, answer: &Value) -> Result<Vec<Hit>, SearchFailure>;

    /// What a status other than 200 means, with the body of the answer.
    fn failure(&self, status: u16, _body: &str) -> SearchFailure {
        SearchFailure::of_status(status)
    }
}

pub(super) struct ApiRequest {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// A POST of this JSON; a GET if it is absent.
    pub(super) body: Option<Value>,
    /// The arguments that the API does not have.
    pub(super) ignored: Vec<&'static str>,
}

/// An attempt without results.
struct Refused {
    failure: SearchFailure,
    /// After which time another attempt makes sense.
    pause: Option<Duration>,
}

impl From<SearchFailure> for Refused {
    fn from(failure: SearchFailure) -> Self {
        Self { failure, pause: None }
    }
}

pub(super) struct HttpProvider<A> {
    client: PublicClient,
    host: String,
    api: A,
    /// Of the searches that came too fast: one at a time waits and tries again.
    turn: Mutex<()>,
}

/// The endpoint of an API at this path.
pub(super) fn endpoint(base_url: &Url, path: &str) -> anyhow::Result<Url> {
    let text = format!("{}/{path}", base_url.as_str().trim_end_matches('/'));
    Url::parse(&text).context("base_url cannot be used")
}

/// A text member of a result. Other types count as absent.
pub(super) fn text(item: &Value, name: &str) -> String {
    item[name].as_str().unwrap_or_default().to_owned()
}

/// The results in a member of the answer. A provider without results may leave it out.
pub(super) fn items(list: &Value) -> Result<&[Value], SearchFailure> {
    match list {
        Value::Array(items) => Ok(items),
        Value::Null => Ok(&[]),
        _ => Err(SearchFailure::Unreadable),
    }
}

impl<A: Api> HttpProvider<A> {
    pub(super) fn new(api: A, base_url: &Url) -> anyhow::Result<Self> {
        let user_agent = concat!("capi-search/", env!("CARGO_PKG_VERSION"));
        let client = PublicClient::new(user_agent, IpPolicy::any(), LIMITS)?;
        let host = base_url.host_str().context("base_url has no host")?.trim_end_matches('.').to_owned();
        Ok(Self { client, host, api, turn: Mutex::new(()) })
    }

    async fn ask(&self, query: &SearchQuery) -> Result<Found, SearchFailure> {
        let pause = match self.attempt(query).await {
            Err(Refused { failure: SearchFailure::TooFast, pause: Some(pause) }) => pause,
            done => return done.map_err(|refused| refused.failure),
        };
        let tries = timeout(TRIES, self.try_again(query, pause));
        tries.await.unwrap_or(Err(SearchFailure::TooFast))
    }

    async fn try_again(&self, query: &SearchQuery, first: Duration) -> Result<Found, SearchFailure> {
        let _turn = self.turn.lock().await;
        let mut next = first;
        for _ in 0..MAX_REPEATS {
            sleep(next).await;
            match self.attempt(query).await {
                Err(Refused { failure: SearchFailure::TooFast, pause: Some(pause) }) => next = pause,
                done => return done.map_err(|refused| refused.failure),
            }
        }
        Err(SearchFailure::TooFast)
    }

    async fn attempt(&self, query: &SearchQuery) -> Result<Found, Refused> {
        let response = self.send(query).await?;
        let status = response.status();
        let pause = pause(response.header(RETRY_AFTER));
        let Body { bytes, end } = response.read().await;
        let text = String::from_utf8_lossy(&bytes);
        if status != 200 {
            let failure = match self.api.failure(status, &text) {
                SearchFailure::TooFast if pause.is_none() => SearchFailure::OverQuota(status),
                failure => failure,
            };
            return Err(Refused { failure, pause });
        }
        match end {
            BodyEnd::Complete => {}
            BodyEnd::Cut => return Err(SearchFailure::Unreadable.into()),
            BodyEnd::Failed(failure) => return Err(SearchFailure::Request(failure).into()),
        }
        let answer: Value = serde_json::from_str(&text).map_err(|_| SearchFailure::Unreadable)?;
        if !answer.is_object() {
            return Err(SearchFailure::Unreadable.into());
        }
        let ignored = self.api.request(query).ignored;
        Ok(Found { hits: self.api.hits(&answer)?, ignored })
    }

    async fn send(&self, query: &SearchQuery) -> Result<Response, SearchFailure> {
        let ApiRequest { url, mut headers, body, .. } = self.api.request(query);
        let sent = match body {
            None => self.client.get_once(url.as_str(), headers).await,
            Some(body) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                self.client.post(url.as_str(), headers, body.to_string().into_bytes()).await
            }
        };
        sent.map_err(SearchFailure::Request)
    }
}

/// The time until another attempt, or `None` if the provider wants a longer one.
fn pause(retry_after: Option<&str>) -> Option<Duration> {
    let Some(asked) = retry_after else { return Some(PAUSE) };
    let asked = Duration::from_secs(asked.trim().parse().ok()?);
    (asked <= MOST_PAUSE).then(|| asked.max(PAUSE))
}

impl<A: Api> SearchProvider for HttpProvider<A> {
    fn host(&self) -> Option<&str> {
        Some(&self.host)
    }

    fn search<'s>(&'s self, query: &'s SearchQuery) -> BoxFuture<'s, Result<Found, SearchFailure>> {
        self.ask(query).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_attempt_comes_soon_or_not_at_all() {
        assert_eq!(pause(None), Some(PAUSE));
        assert_eq!(pause(Some("0")), Some(PAUSE));
        assert_eq!(pause(Some("3")), Some(Duration::from_secs(3)));
        assert_eq!(pause(Some("3600")), None);
        assert_eq!(pause(Some("Wed, 21 Oct 2026 07:28:00 GMT")), None);
    }

    #[test]
    fn an_endpoint_lies_below_the_address() {
        let at = |base: &str| endpoint(&Url::parse(base).unwrap(), "search").unwrap().to_string();
        assert_eq!(at("http://h:8888"), "http://h:8888/search");
        assert_eq!(at("https://h/searx/"), "https://h/searx/search");
    }
}
