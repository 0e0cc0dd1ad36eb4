//! Brave Search: `GET /res/v1/web/search` with the key in X-Subscription-Token.

use public_client::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::clean::{day, without_marks};
use super::http::{Api, ApiRequest, endpoint, items, text};
use super::{Freshness, Hit, Region, SearchFailure, SearchQuery, key};

const KEY_HEADER: HeaderName = HeaderName::from_static("x-subscription-token");
/// The countries that the API knows.
const COUNTRIES: &str = " AR AT AU BE BR CA CH CL CN DE DK ES FI FR GB HK ID IN IT JP KR MX MY NL NO NZ PH \
                         PL PT RU SA SE TR TW US ZA ";
/// The languages that it knows by their usual codes.
const LANGUAGES: &str = " ar bg bn ca cs da de en es et eu fi fr gl gu he hi hr hu is it kn ko lt lv ml mr \
                         ms nb nl pa pl ro ru sk sl sr sv ta te th tr uk vi ";
/// How the API names a key that it does not know. It answers 422 then.
const UNKNOWN_KEY: &str = "SUBSCRIPTION_TOKEN_INVALID";
/// How it names a plan that is used up. `RATE_LIMITED` means too many searches in one second.
const USED_UP: &str = "QUOTA_LIMITED";

pub(super) struct Brave {
    endpoint: Url,
    key: HeaderValue,
}

impl Brave {
    pub(super) fn new(base_url: &Url, key: &str) -> anyhow::Result<Self> {
        Ok(Self { endpoint: endpoint(base_url, "res/v1/web/search")?, key: key::header(key)? })
    }
}

/// The API's name of a language.
fn language(region: &Region) -> Option<&str> {
    match (region.language.as_str(), region.country.as_str()) {
        ("ja", _) => Some("jp"),
        ("zh", "TW" | "HK") => Some("zh-hant"),
        ("zh", _) => Some("zh-hans"),
        ("pt", "BR") => Some("pt-br"),
        ("pt", _) => Some("pt-pt"),
        ("no", _) => Some("nb"),
        (language, _) => LANGUAGES.contains(&format!(" {language} ")).then_some(language),
    }
}

impl Api for Brave {
    fn request(&self, query: &SearchQuery) -> ApiRequest {
        let (mut url, mut ignored) = (self.endpoint.clone(), Vec::new());
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("q", &query.text).append_pair("count", &query.count.to_string());
        pairs.append_pair("text_decorations", "false").append_pair("result_filter", "web");
        if let Some(region) = &query.region {
            let is_known = COUNTRIES.contains(&format!(" {} ", region.country));
            let language = language(region);
            if is_known {
                pairs.append_pair("country", &region.country);
            }
            if let Some(language) = language {
                pairs.append_pair("search_lang", language);
            }
            if !is_known && language.is_none() {
                ignored.push("region");
            }
        }
        if let Some(freshness) = query.freshness {
            let code = match freshness {
                Freshness::Day => "pd",
                Freshness::Week => "pw",
                Freshness::Month => "pm",
                Freshness::Year => "py",
            };
            pairs.append_pair("freshness", code);
        }
        if let Some(safe) = query.safe {
            pairs.append_pair("safesearch", safe.as_str());
        }
        drop(pairs);
        let headers = HeaderMap::from_iter([(KEY_HEADER, self.key.clone())]);
        ApiRequest { url, headers, body: None, ignored }
    }

    fn hits(&self, answer: &Value) -> Result<Vec<Hit>, SearchFailure> {
        let hit = |item: &Value| {
            let date = item["page_age"].as_str().map(day).or(item["age"].as_str().map(str::to_owned));
            Hit {
                title: without_marks(&text(item, "title")),
                url: text(item, "url"),
                snippet: without_marks(&text(item, "description")),
                date,
            }
        };
        Ok(items(&answer["web"]["results"])?.iter().map(hit).collect())
    }

    fn failure(&self, status: u16, body: &str) -> SearchFailure {
        match status {
            422 if body.contains(UNKNOWN_KEY) => SearchFailure::KeyRefused(status),
            429 if body.contains(USED_UP) => SearchFailure::OverQuota(status),
            _ => SearchFailure::of_status(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::SafeSearch;

    fn brave() -> Brave {
        Brave::new(&Url::parse("https://api.search.brave.com").unwrap(), "secret").unwrap()
    }

    #[test]
    fn each_argument_has_its_parameter_and_the_key_its_header() {
        let query = SearchQuery {
            region: Region::parse("ja-JP"),
            freshness: Some(Freshness::Month),
            safe: Some(SafeSearch::Off),
            ..SearchQuery::plain("東京", 7)
        };
        let request = brave().request(&query);
        let url = "https://api.search.brave.com/res/v1/web/search?q=%E6%9D%B1%E4%BA%AC&count=7&\
                   text_decorations=false&result_filter=web&country=JP&search_lang=jp&freshness=pm&\
                   safesearch=off";
        assert_eq!(request.url.as_str(), url);
        assert_eq!(request.headers["x-subscription-token"], "secret");
        assert!(!format!("{:?}", request.headers).contains("secret"), "no log shows it");
        let elsewhere = SearchQuery { region: Region::parse("mt-MT"), ..SearchQuery::plain("a", 1) };
        assert_eq!(brave().request(&elsewhere).ignored, ["region"]);
    }

    #[test]
    fn results_are_read_without_marks() {
        let result = json!({"title": "A &amp; B", "url": "https://e.org/", "age": "3 days ago",
            "description": "the <strong>word</strong> &lt;b&gt; &#x27;x&#39;"});
        let answer = json!({"type": "search", "web": {"type": "search", "results": [result]}});
        let hits = brave().hits(&answer).unwrap();
        assert_eq!((hits[0].title.as_str(), hits[0].snippet.as_str()), ("A & B", "the word <b> 'x'"));
        assert_eq!(hits[0].date.as_deref(), Some("3 days ago"));
        assert_eq!(brave().hits(&json!({"type": "search"})), Ok(vec![]), "no results, no member");
        let body = r#"{"type":"ErrorResponse","error":{"code":"SUBSCRIPTION_TOKEN_INVALID"}}"#;
        assert_eq!(brave().failure(422, body), SearchFailure::KeyRefused(422));
        assert_eq!(brave().failure(422, "{}"), SearchFailure::Refused(422));
        assert_eq!(brave().failure(429, r#"{"code":"QUOTA_LIMITED"}"#), SearchFailure::OverQuota(429));
        assert_eq!(brave().failure(429, r#"{"code":"RATE_LIMITED"}"#), SearchFailure::TooFast);
    }
}
