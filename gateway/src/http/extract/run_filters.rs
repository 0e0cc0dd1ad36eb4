//! The filters of a run list, as a query gives them.

use gateway_domain::runs::Filters;
use shared::runs::{RunStatus, Source};

use super::Query;

/// All filters, as the API has them.
pub fn read_filters(query: &mut Query) -> Filters {
    let of_app = read_filters_of_app(query);
    Filters {
        app: query.value("appId", "an app's id"),
        after: query.time("createdAfter"),
        before: query.time("createdBefore"),
        metadata: metadata(query),
        ..of_app
    }
}

/// The filters that the page of one app has.
pub fn read_filters_of_app(query: &mut Query) -> Filters {
    Filters {
        status: query.any_of("status", &RunStatus::ALL.map(RunStatus::as_str)),
        source: query.value::<Source>("source", "one of: api, console"),
        ..Filters::default()
    }
}

/// `metadata.KEY=VALUE`, and `metadata=KEY=VALUE`, which generated clients can send.
fn metadata(query: &mut Query) -> Vec<(String, String)> {
    let mut pairs = query.prefixed("metadata");
    for text in query.all("metadata") {
        match text.split_once('=') {
            Some((key, _)) if pairs.iter().any(|(known, _)| known == key) => {
                query.wrong("metadata", "metadata names a key twice; give each key once");
            }
            Some((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
            None => query.wrong("metadata", "metadata must be KEY=VALUE"),
        }
    }
    pairs.sort();
    pairs
}
