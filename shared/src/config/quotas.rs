//! What an account may hold at once and use in a day, by its plan.

use serde::Serialize;

use super::{Plan, Plans};
use crate::limits::Limits;

/// The quotas of an account. `None` means no limit. The names in JSON are those of the plans file: the SQL
/// function `account_quota_v1` reads them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Quotas {
    /// The most pending runs.
    pub max_pending_runs: Option<u32>,
    /// The most bytes of input files and artifacts. The versions of apps may have as many, counted apart.
    pub max_stored_bytes: Option<u64>,
    /// The most bytes of request bodies that create runs, in a day (UTC).
    pub max_request_bytes_per_day: Option<u64>,
    /// Tokens of a day (UTC) after which no run is created.
    pub max_tokens_per_day: Option<u64>,
}

impl Quotas {
    /// Whether a create must be counted.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// Each quota that is the smaller one of the two.
    fn smaller(self, other: Self) -> Self {
        fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            one.into_iter().chain(other).min()
        }
        Self {
            max_pending_runs: least(self.max_pending_runs, other.max_pending_runs),
            max_stored_bytes: least(self.max_stored_bytes, other.max_stored_bytes),
            max_request_bytes_per_day: least(self.max_request_bytes_per_day, other.max_request_bytes_per_day),
            max_tokens_per_day: least(self.max_tokens_per_day, other.max_tokens_per_day),
        }
    }
}

impl Plan {
    #[must_use]
    pub const fn quotas(&self) -> Quotas {
        Quotas {
            max_pending_runs: self.max_pending_runs,
            max_stored_bytes: self.max_stored_bytes,
            max_request_bytes_per_day: self.max_request_bytes_per_day,
            max_tokens_per_day: self.max_tokens_per_day,
        }
    }

    /// The names of the limits that the plan of sign-ups needs and that this plan lacks.
    fn missing(&self) -> impl Iterator<Item = &'static str> {
        let limits = [
            ("max_pending_runs", self.max_pending_runs.is_some()),
            ("max_stored_bytes", self.max_stored_bytes.is_some()),
            ("max_request_bytes_per_day", self.max_request_bytes_per_day.is_some()),
            ("max_tokens_per_day", self.max_tokens_per_day.is_some()),
            ("retention_days", self.retention_days.is_some()),
        ];
        let ceilings =
            Limits::ALL.iter().map(|limit| (limit.ceiling_name, (limit.ceiling)(&self.ceilings).is_some()));
        limits.into_iter().chain(ceilings).filter(|(_, is_set)| !is_set).map(|(name, _)| name)
    }
}

impl Plans {
    /// The quotas of an account of this plan. An account whose plan no longer exists gets the smallest quotas
    /// of all plans.
    #[must_use]
    pub fn quotas(&self, plan: &str) -> Quotas {
        let smallest = || self.all().map(|(_, plan)| plan.quotas()).fold(Quotas::default(), Quotas::smaller);
        self.get(plan).map_or_else(smallest, Plan::quotas)
    }

    /// The limits that this plan lacks if visitors may create accounts of it.
    #[must_use]
    pub fn missing_for_sign_up(&self, plan: &str) -> Vec<&'static str> {
        self.get(plan).into_iter().flat_map(Plan::missing).collect()
    }

    /// The days after which a run of each plan is deleted. Plans that keep runs for ever are left out.
    #[must_use]
    pub fn retention_days(&self) -> serde_json::Map<String, serde_json::Value> {
        let kept = self.all().filter_map(|(name, plan)| Some((name.to_owned(), plan.retention_days?.into())));
        kept.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_a_plan_gets_the_smallest_quotas() {
        let plans = Plans::built_in();
        assert!(plans.quotas("free").is_any() && !plans.quotas("pro").is_any());
        assert_eq!(plans.quotas("gone"), plans.quotas("free"));
        assert_eq!(plans.retention_days().len(), 1, "{:?}", plans.retention_days());
        assert!(plans.without_retention().retention_days().is_empty());
    }

    #[test]
    fn sign_up_needs_every_limit() {
        let plans = Plans::built_in();
        assert!(plans.missing_for_sign_up("free").is_empty());
        assert_eq!(plans.missing_for_sign_up("pro").len(), 5 + Limits::ALL.len());
    }
}
