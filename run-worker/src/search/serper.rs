//! Serper: `POST /search` with the key in X-API-KEY.

use public_client::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use super::http::{Api, ApiRequest, endpoint, items, text};
use super::{Freshness, Hit, SearchFailure, SearchQuery, key};

const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

pub(super) struct Serper {
    endpoint: Url,
    key: HeaderValue,
}

impl Serper {
    pub(super) fn new(base_url: &Url, key: &str) -> anyhow::Result<Self> {
        Ok(Self { endpoint: endpoint(base_url, "search")?, key: key::header(key)? })
    }
}

impl Api for Serper {
    fn request(&self, query: &SearchQuery) -> ApiRequest {
        let mut body = json!({"q": query.text, "num": query.count});
        if let Some(region) = &query.region {
            body["gl"] = region.country.to_ascii_lowercase().into();
            body["hl"] = region.language.as_str().into();
        }
        if let Some(freshness) = query.freshness {
            let code = match freshness {
                Freshness::Day => "qdr:d",
                Freshness::Week => "qdr:w",
                Freshness::Month => "qdr:m",
                Freshness::Year => "qdr:y",
            };
            body["tbs"] = code.into();
        }
        let ignored = query.safe.map(|_| "safe").into_iter().collect();
        let headers = HeaderMap::from_iter([(KEY_HEADER, self.key.clone())]);
        ApiRequest { url: self.endpoint.clone(), headers, body: Some(body), ignored }
    }

    fn hits(&self, answer: &Value) -> Result<Vec<Hit>, SearchFailure> {
        let hit = |item: &Value| Hit {
            title: text(item, "title"),
            url: text(item, "link"),
            snippet: text(item, "snippet"),
            date: item["date"].as_str().map(str::to_owned),
        };
        Ok(items(&answer["organic"])?.iter().map(hit).collect())
    }

    fn failure(&self, status: u16, body: &str) -> SearchFailure {
        match status {
            // "Not enough credits"
            400 if body.contains("credits") => SearchFailure::OverQuota(status),
            _ => SearchFailure::of_status(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Region;

    #[test]
    fn each_argument_has_its_member() {
        let serper = Serper::new(&Url::parse("https://google.serper.dev").unwrap(), "k").unwrap();
        let query = SearchQuery {
            region: Region::parse("fr-CA"),
            freshness: Some(Freshness::Day),
            ..SearchQuery::plain("neige", 4)
        };
        let ApiRequest { url, headers, body, ignored } = serper.request(&query);
        assert_eq!(url.as_str(), "https://google.serper.dev/search");
        assert_eq!(headers["x-api-key"], "k");
        let expected = json!({"q": "neige", "num": 4, "gl": "ca", "hl": "fr", "tbs": "qdr:d"});
        assert_eq!(body, Some(expected));
        assert!(ignored.is_empty());
        let result = json!({"title": "T", "link": "https://e.org/", "snippet": "S", "date": "Jan 2, 2026"});
        let hits = serper.hits(&json!({"organic": [result], "credits": 1})).unwrap();
        assert_eq!((hits[0].url.as_str(), hits[0].date.as_deref()), ("https://e.org/", Some("Jan 2, 2026")));
        let refused = serper.failure(400, r#"{"message":"Not enough credits","statusCode":400}"#);
        assert_eq!(refused, SearchFailure::OverQuota(400));
        assert_eq!(serper.failure(400, "{}"), SearchFailure::Refused(400));
    }
}
