//! SearXNG: `GET /search?format=json`. The server must allow the format json in its settings.

use public_client::header::HeaderMap;
use serde_json::Value;
use url::Url;

use super::clean::day;
use super::http::{Api, ApiRequest, endpoint, items, text};
use super::{Hit, SafeSearch, SearchFailure, SearchQuery};

pub(super) struct Searxng {
    endpoint: Url,
}

impl Searxng {
    pub(super) fn new(base_url: &Url) -> anyhow::Result<Self> {
        Ok(Self { endpoint: endpoint(base_url, "search")? })
    }
}

impl Api for Searxng {
    fn request(&self, query: &SearchQuery) -> ApiRequest {
        let mut url = self.endpoint.clone();
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("format", "json").append_pair("q", &query.text).append_pair("pageno", "1");
        if let Some(region) = &query.region {
            pairs.append_pair("language", &format!("{}-{}", region.language, region.country));
        }
        if let Some(freshness) = query.freshness {
            pairs.append_pair("time_range", freshness.as_str());
        }
        if let Some(safe) = query.safe {
            let level = match safe {
                SafeSearch::Off => "0",
                SafeSearch::Moderate => "1",
                SafeSearch::Strict => "2",
            };
            pairs.append_pair("safesearch", level);
        }
        drop(pairs);
        ApiRequest { url, headers: HeaderMap::new(), body: None, ignored: Vec::new() }
    }

    fn hits(&self, answer: &Value) -> Result<Vec<Hit>, SearchFailure> {
        let results = items(&answer["results"])?;
        let silent = answer["unresponsive_engines"].as_array().is_some_and(|engines| !engines.is_empty());
        if results.is_empty() && silent {
            return Err(SearchFailure::NoEngine);
        }
        let hit = |item: &Value| Hit {
            title: text(item, "title"),
            url: text(item, "url"),
            snippet: text(item, "content"),
            date: item["publishedDate"].as_str().map(day),
        };
        Ok(results.iter().map(hit).collect())
    }

    fn failure(&self, status: u16, _body: &str) -> SearchFailure {
        match status {
            403 => SearchFailure::JsonIsOff,
            _ => SearchFailure::of_status(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::{Freshness, Region};

    fn searxng() -> Searxng {
        Searxng::new(&Url::parse("http://127.0.0.1:8888/").unwrap()).unwrap()
    }

    #[test]
    fn each_argument_has_its_parameter() {
        let mut query = SearchQuery::plain("a b&c", 5);
        let url = searxng().request(&query).url;
        assert_eq!(url.as_str(), "http://127.0.0.1:8888/search?format=json&q=a+b%26c&pageno=1");
        query.region = Region::parse("de-AT");
        query.freshness = Some(Freshness::Week);
        query.safe = Some(SafeSearch::Strict);
        let url = searxng().request(&query).url;
        assert!(url.as_str().ends_with("&language=de-AT&time_range=week&safesearch=2"), "{url}");
    }

    #[test]
    fn results_are_read_and_silent_engines_are_told() {
        let result = json!({"title": "T", "url": "https://e.org/", "content": "C", "engine": "x",
            "publishedDate": "2026-05-01T10:00:00"});
        let hits = searxng().hits(&json!({"results": [result, {"url": 3}]})).unwrap();
        let date = Some("2026-05-01".to_owned());
        let expected =
            Hit { title: "T".to_owned(), url: "https://e.org/".to_owned(), snippet: "C".to_owned(), date };
        assert_eq!(hits, [expected, Hit::default()]);
        let silent = json!({"results": [], "unresponsive_engines": [["google", "timeout"]]});
        assert_eq!(searxng().hits(&silent), Err(SearchFailure::NoEngine));
        assert_eq!(searxng().hits(&json!({"results": "x"})), Err(SearchFailure::Unreadable));
        assert_eq!(searxng().failure(403, ""), SearchFailure::JsonIsOff);
    }
}
