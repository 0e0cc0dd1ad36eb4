//! The arguments of `web_search`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::search::{Freshness, MAX_RESULTS, Region, SafeSearch, SearchQuery};
use crate::tools::ToolError;
use crate::tools::arguments::read;

/// The longest query that all providers take. It fits into a URL in every script.
const MAX_QUERY_BYTES: usize = 400;
const USUAL_RESULTS: usize = 8;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// A few words that the pages should contain, at most 400 bytes
    query: String,
    /// How many results; 8 if absent
    #[schemars(range(min = 1, max = MAX_RESULTS))]
    count: Option<usize>,
    /// Language and country of the pages, for example en-US or ja-JP; all if absent
    region: Option<String>,
    /// Only pages of the last day, week, month or year; all if absent
    #[schemars(extend("enum" = ["day", "week", "month", "year"]))]
    freshness: Option<String>,
    /// The filter of adult content; the provider's own if absent
    #[schemars(extend("enum" = ["off", "moderate", "strict"]))]
    safe: Option<String>,
}

/// Checks the arguments. An error says what to write instead.
pub(super) fn query(arguments: Value) -> Result<SearchQuery, ToolError> {
    let Arguments { query, count, region, freshness, safe } = read(arguments)?;
    let text = query.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.len() > MAX_QUERY_BYTES {
        return Err(refused(&format!(
            "query must have 1 to {MAX_QUERY_BYTES} bytes; write a few words that the pages contain"
        )));
    }
    let count = count.unwrap_or(USUAL_RESULTS);
    if !(1..=MAX_RESULTS).contains(&count) {
        return Err(refused(&format!("count must be 1 to {MAX_RESULTS}")));
    }
    // Models send empty text for what they leave out.
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let region = match given(region) {
        None => None,
        Some(text) => Some(Region::parse(&text).ok_or_else(|| {
            refused("region must be a language and a country, like en-US; leave it out otherwise")
        })?),
    };
    let freshness = choice("freshness", given(freshness), &Freshness::ALL, Freshness::as_str)?;
    let safe = choice("safe", given(safe), &SafeSearch::ALL, SafeSearch::as_str)?;
    Ok(SearchQuery { text, count, region, freshness, safe })
}

fn choice<T: Copy>(
    name: &str,
    given: Option<String>,
    all: &[T],
    as_str: fn(T) -> &'static str,
) -> Result<Option<T>, ToolError> {
    let Some(text) = given else { return Ok(None) };
    let found = all.iter().copied().find(|one| as_str(*one).eq_ignore_ascii_case(text.trim()));
    let names = || all.iter().copied().map(as_str).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| refused(&format!("{name} must be one of {}", names())))
}

fn refused(why: &str) -> ToolError {
    ToolError::RespondToModel(format!("The arguments do not fit: {why}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_read_and_mistakes_told() {
        let plain = query(json!({"query": " solar \n power ", "region": "", "safe": null})).unwrap();
        assert_eq!(plain, SearchQuery::plain("solar power", USUAL_RESULTS));
        let all = json!({"query": "a", "count": 3, "region": "de_at", "freshness": "Week", "safe": "off"});
        let all = query(all).unwrap();
        assert_eq!((all.count, all.freshness, all.safe), (3, Some(Freshness::Week), Some(SafeSearch::Off)));
        assert_eq!(all.region, Region::parse("de-AT"));
        for (arguments, named) in [
            (json!({}), "query"),
            (json!({"query": "  "}), "1 to 400 bytes"),
            (json!({"query": "x".repeat(401)}), "1 to 400 bytes"),
            (json!({"query": "a", "count": 0}), "count must be 1 to 10"),
            (json!({"query": "a", "count": 50}), "count must be 1 to 10"),
            (json!({"query": "a", "region": "Germany"}), "like en-US"),
            (json!({"query": "a", "freshness": "today"}), "one of day, week, month, year"),
            (json!({"query": "a", "safe": true}), "safe"),
            (json!({"query": "a", "site": "e.org"}), "site"),
        ] {
            match query(arguments.clone()) {
                Err(ToolError::RespondToModel(why)) => assert!(why.contains(named), "{arguments}: {why}"),
                other => panic!("{arguments}: {other:?}"),
            }
        }
    }
}
