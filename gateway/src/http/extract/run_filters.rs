//! The filters of a run list, as a query gives them.

use chrono::{DateTime, Utc};
use gateway_domain::page::can_be_stored;
use gateway_domain::runs::Filters;
use shared::runs::{RunStatus, Source};

use super::Query;

/// All filters, as the API has them.
pub fn read_filters(query: &mut Query) -> Filters {
    let of_app = read_filters_of_app(query);
    Filters {
        app: query.value("appId", "an app's id"),
        after: time(query, "createdAfter"),
        before: time(query, "createdBefore"),
        metadata: query.prefixed("metadata"),
        ..of_app
    }
}

/// The filters that the page of one app has.
pub fn read_filters_of_app(query: &mut Query) -> Filters {
    Filters {
        status: statuses(query),
        source: query.value::<Source>("source", "one of: api, console"),
        ..Filters::default()
    }
}

fn statuses(query: &mut Query) -> Vec<RunStatus> {
    let mut status = Vec::new();
    for text in query.all("status") {
        match text.parse() {
            Ok(known) if status.contains(&known) => {}
            Ok(known) => status.push(known),
            Err(_) => {
                let all: Vec<_> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
                query.wrong("status", &format!("status must be one of: {}", all.join(", ")));
            }
        }
    }
    status.sort_unstable();
    status
}

pub(super) fn time(query: &mut Query, name: &str) -> Option<DateTime<Utc>> {
    // A + that is not percent-encoded arrives as a space.
    query.parsed(name, "a time like 2026-11-24T12:00:00Z (RFC 3339)", |text| {
        let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
        can_be_stored(time).then_some(time)
    })
}
