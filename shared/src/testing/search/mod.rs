//! A server that stands for the four search providers, each in the form of its documentation. The first word
//! of a query chooses what the provider does.

mod answers;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use serde_json::{Map, Value};

use self::answers::{Answer, Case};
use super::http::{Body, respond_with, serve};

/// Longer than the worker waits.
const SLOW: Duration = Duration::from_mins(1);

/// A search that arrived.
#[derive(Debug, Clone)]
pub struct AskedSearch {
    /// One of [`SearchServer::PROVIDERS`].
    pub provider: String,
    /// The members of the body, or the parameters of the query as texts.
    pub arguments: Value,
}

pub struct SearchServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<AskedSearch>>>,
}

impl SearchServer {
    /// The key that Brave, Tavily and Serper want.
    pub const KEY: &'static str = "search-key-5b1f0c77";
    pub const PROVIDERS: [&'static str; 4] = ["searxng", "brave", "tavily", "serper"];

    /// The first word of a query chooses the answer:
    ///
    /// - `nothing`: no results.
    /// - `quota`: the searches that the plan allows are used up. `once`: the first search comes too fast.
    ///   `hurry`: all do.
    /// - `broken` and `away`: 500 and 503. `refused`: the search is not valid.
    /// - `slow`: the answer comes after a minute. `moved`: a redirect. `garbled`: HTML in place of JSON.
    /// - `hostile`: results that want to be more than results. `private`: results at private addresses.
    /// - Any other word: two results.
    pub async fn start() -> Self {
        Self::listing(&["https://example.org/solar", "https://example.net/wind"]).await
    }

    /// The same with results at these URLs.
    pub async fn listing(urls: &[&str]) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, urls) =
            (Arc::clone(&asked), urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>());
        let address = serve(move |request| {
            let (noted, urls) = (Arc::clone(&noted), urls.clone());
            async move { answer(request, &noted, &urls).await }
        })
        .await;
        Self { address, asked }
    }

    /// The content of a file for CAPI_SEARCH with all four providers. `key_file` must hold [`Self::KEY`].
    #[must_use]
    pub fn search_file(&self, key_file: &Path) -> String {
        let entry = |name: &&str| {
            let address = self.address;
            let key = format!("key_file = \"{}\"\n", key_file.display());
            let key = if *name == "searxng" { String::new() } else { key };
            format!("[[providers]]\nprovider = \"{name}\"\nbase_url = \"http://{address}/{name}\"\n{key}")
        };
        Self::PROVIDERS.iter().map(entry).collect()
    }

    /// Writes that file, and the key, into a directory. Returns the path of the file.
    #[must_use]
    pub fn write_search_file(&self, dir: &Path) -> String {
        let (key, file) = (dir.join("search.key"), dir.join("search.toml"));
        std::fs::write(&key, Self::KEY).expect("the key can be written");
        std::fs::write(&file, self.search_file(&key)).expect("the file can be written");
        file.display().to_string()
    }

    /// The searches so far.
    #[must_use]
    pub fn asked(&self) -> Vec<AskedSearch> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    noted: &Mutex<Vec<AskedSearch>>,
    urls: &[String],
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let (provider, endpoint) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let is_right = match provider {
        "brave" => head.method == "GET" && endpoint == "res/v1/web/search",
        "searxng" => head.method == "GET" && endpoint == "search",
        "tavily" | "serper" => head.method == "POST" && endpoint == "search",
        _ => false,
    };
    if !is_right {
        return sent(Answer::text(404, "no such endpoint"));
    }
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let arguments = match head.uri.query() {
        Some(query) => pairs(query),
        None => serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    if let Some(refused) = answers::without_key(provider, &arguments, &key_of(provider, &head.headers)) {
        return sent(refused);
    }
    let query =
        ["q", "query"].iter().find_map(|name| arguments[name].as_str()).unwrap_or_default().to_owned();
    let asked = AskedSearch { provider: provider.to_owned(), arguments };
    let before = {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(asked);
        noted.len() - 1
    };
    let case = Case::of(&query, before == 0);
    if case == Case::Slow {
        tokio::time::sleep(SLOW).await;
    }
    sent(answers::of(provider, case, urls))
}

fn pairs(query: &str) -> Value {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    Value::Object(pairs.map(|(name, value)| (name.into_owned(), value.into())).collect::<Map<_, _>>())
}

/// The key in the header of this provider.
fn key_of(provider: &str, headers: &HeaderMap) -> String {
    let name = match provider {
        "brave" => "x-subscription-token",
        "tavily" => "authorization",
        _ => "x-api-key",
    };
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.trim_start_matches("Bearer ").to_owned()
}

fn sent(answer: Answer) -> Response<Body> {
    let Answer { status, kind, header, body } = answer;
    respond_with(status, kind, header, stream::iter([body]).boxed())
}
