//! The filters of a run list, as requests give them and as cursors carry them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::AppId;
use shared::runs::{RunStatus, Source};

use crate::page::{CursorFilters, can_be_stored};

/// Which runs a list shows. A run must pass all filters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// One of these statuses. Empty: any status.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<RunStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<DateTime<Utc>>,
    /// All of these pairs of key and value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<(String, String)>,
}

/// A cursor is encoded, not signed: a made-up cursor gives no more access than the query itself.
impl CursorFilters for Filters {
    fn is_valid(&self) -> bool {
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
