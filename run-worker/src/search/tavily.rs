//! Tavily: `POST /search` with a bearer key.

use public_client::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use super::clean::day;
use super::country::tavily_name;
use super::http::{Api, ApiRequest, endpoint, items, text};
use super::{Hit, SearchFailure, SearchQuery, key};

pub(super) struct Tavily {
    endpoint: Url,
    authorization: HeaderValue,
}

impl Tavily {
    pub(super) fn new(base_url: &Url, key: &str) -> anyhow::Result<Self> {
        let authorization = key::header(&format!("Bearer {key}"))?;
        Ok(Self { endpoint: endpoint(base_url, "search")?, authorization })
    }
}

impl Api for Tavily {
    fn request(&self, query: &SearchQuery) -> ApiRequest {
        let mut body = json!({
            "query": query.text, "max_results": query.count, "search_depth": "basic", "topic": "general",
        });
        let mut ignored = Vec::new();
        if let Some(region) = &query.region {
            match tavily_name(&region.country) {
                Some(country) => body["country"] = country.into(),
                None => ignored.push("region"),
            }
        }
        if let Some(freshness) = query.freshness {
            body["time_range"] = freshness.as_str().into();
        }
        // Its filter of adult content is not in all plans.
        if query.safe.is_some() {
            ignored.push("safe");
        }
        let headers = HeaderMap::from_iter([(AUTHORIZATION, self.authorization.clone())]);
        ApiRequest { url: self.endpoint.clone(), headers, body: Some(body), ignored }
    }

    fn hits(&self, answer: &Value) -> Result<Vec<Hit>, SearchFailure> {
        let hit = |item: &Value| Hit {
            title: text(item, "title"),
            url: text(item, "url"),
            snippet: text(item, "content"),
            date: item["published_date"].as_str().map(day),
        };
        Ok(items(&answer["results"])?.iter().map(hit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Freshness, Region, SafeSearch};

    #[test]
    fn each_argument_has_its_member_and_the_rest_is_named() {
        let tavily = Tavily::new(&Url::parse("https://api.tavily.com").unwrap(), "tvly-1").unwrap();
        let query = SearchQuery {
            region: Region::parse("de-DE"),
            freshness: Some(Freshness::Year),
            safe: Some(SafeSearch::Strict),
            ..SearchQuery::plain("solar", 3)
        };
        let ApiRequest { url, headers, body, ignored } = tavily.request(&query);
        assert_eq!(url.as_str(), "https://api.tavily.com/search");
        assert_eq!(headers[AUTHORIZATION], "Bearer tvly-1");
        let expected = json!({
            "query": "solar", "max_results": 3, "search_depth": "basic", "topic": "general",
            "country": "germany", "time_range": "year",
        });
        assert_eq!((body, ignored), (Some(expected), vec!["safe"]));
        let result = json!({"title": "T", "url": "https://e.org/", "content": "C", "score": 0.9});
        let hits = tavily.hits(&json!({"query": "solar", "results": [result]})).unwrap();
        assert_eq!((hits[0].snippet.as_str(), &hits[0].date), ("C", &None));
    }
}
