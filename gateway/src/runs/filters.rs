//! The filters of a run list, as the query says them and as its cursors carry them.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::AppId;
use shared::runs::RunStatus;

use crate::extract::{CursorFilters, Query, can_be_stored};

/// Where a run was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Api,
    Console,
}

impl FromStr for Source {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "api" => Ok(Self::Api),
            "console" => Ok(Self::Console),
            _ => Err(()),
        }
    }
}

/// Which runs; all filters hold at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filters {
    /// One of these; any where empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) status: Vec<RunStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<AppId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<DateTime<Utc>>,
    /// All of these pairs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) metadata: Vec<(String, String)>,
}

impl Filters {
    pub(crate) fn read(query: &mut Query) -> Self {
        let of_an_app = Self::read_of_an_app(query);
        Self {
            app: query.value("appId", "an app's id"),
            after: time(query, "createdAfter"),
            before: time(query, "createdBefore"),
            metadata: query.prefixed("metadata"),
            ..of_an_app
        }
    }

    /// Those that the page of one app has.
    pub(crate) fn read_of_an_app(query: &mut Query) -> Self {
        Self {
            status: statuses(query),
            source: query.value("source", "one of: api, console"),
            ..Self::default()
        }
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

/// A cursor is only encoded: whoever makes one up gets no further than with the query itself.
impl CursorFilters for Filters {
    fn can_be_ours(&self) -> bool {
        let times = [self.after, self.before];
        let each_once =
            self.status.iter().enumerate().all(|(at, status)| !self.status[..at].contains(status));
        each_once
            && times.into_iter().flatten().all(can_be_stored)
            && self.metadata.iter().all(|(key, value)| !key.contains('\0') && !value.contains('\0'))
    }

    fn agree_with(&self, cursor: &Self) -> bool {
        let same = |here: bool, equal: bool| !here || equal;
        same(!self.status.is_empty(), self.status == cursor.status)
            && same(self.app.is_some(), self.app == cursor.app)
            && same(self.source.is_some(), self.source == cursor.source)
            && same(self.after.is_some(), self.after == cursor.after)
            && same(self.before.is_some(), self.before == cursor.before)
            && same(!self.metadata.is_empty(), self.metadata == cursor.metadata)
    }
}

fn time(query: &mut Query, name: &str) -> Option<DateTime<Utc>> {
    // A + that is not percent-encoded arrives as a space.
    query.parsed(name, "a time like 2026-11-24T12:00:00Z (RFC 3339)", |text| {
        let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
        can_be_stored(time).then_some(time)
    })
}
