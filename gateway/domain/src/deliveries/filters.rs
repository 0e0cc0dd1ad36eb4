//! The filters of a list of deliveries, as requests give them and as cursors carry them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::deliveries::DeliveryStatus;
use shared::ids::RunId;

use crate::page::{CursorFilters, can_be_stored};

/// Which deliveries a list shows. A delivery must pass all filters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// One of these statuses. Empty: any status.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<DeliveryStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<DateTime<Utc>>,
}

impl Filters {
    #[must_use]
    pub fn are_set(&self) -> bool {
        *self != Self::default()
    }
}

impl CursorFilters for Filters {
    fn is_valid(&self) -> bool {
        let each_once =
            self.status.iter().enumerate().all(|(at, status)| !self.status[..at].contains(status));
        each_once && [self.after, self.before].into_iter().flatten().all(can_be_stored)
    }

    fn agree_with(&self, cursor: &Self) -> bool {
        let same = |here: bool, equal: bool| !here || equal;
        same(!self.status.is_empty(), self.status == cursor.status)
            && same(self.run.is_some(), self.run == cursor.run)
            && same(self.after.is_some(), self.after == cursor.after)
            && same(self.before.is_some(), self.before == cursor.before)
    }
}
