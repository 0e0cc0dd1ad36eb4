//! Plans: what an account may do. Three plans are built in. A file overrides them or adds others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Networks;
use crate::limits::{Ceilings, Limits};

/// What one plan allows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Whether keys can be created and used.
    pub api: bool,
    /// Admitted requests in any 60 s.
    pub requests_per_minute: u32,
    /// The most active keys.
    pub api_keys: u32,
    /// The most runs that run at once.
    pub running_runs: u32,
    #[serde(flatten)]
    pub ceilings: Ceilings,
    /// The most pending runs. This field and the next three are the plan's [`super::Quotas`].
    pub max_pending_runs: Option<u32>,
    /// The most bytes of input files and artifacts.
    pub max_stored_bytes: Option<u64>,
    /// The most bytes of request bodies that create runs, in a day (UTC).
    pub max_request_bytes_per_day: Option<u64>,
    /// Tokens of a day (UTC) after which no run is created.
    pub max_tokens_per_day: Option<u64>,
    /// Days after which runs that are over, and audit lines, are deleted.
    pub retention_days: Option<u32>,
    /// The non-public networks that webhooks may reach, instead of CAPI_WEBHOOK_ALLOWED_NETWORKS.
    pub webhook_networks: Option<Networks>,
}

/// All plans by name.
#[derive(Debug, Clone)]
pub struct Plans(BTreeMap<String, Plan>);

/// What is wrong with the plans file.
#[derive(Debug, thiserror::Error)]
pub enum PlansError {
    #[error("CAPI_PLANS: cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("CAPI_PLANS: {0}: {1}")]
    Parse(PathBuf, Box<toml::de::Error>),
    /// A limit is out of range.
    #[error("CAPI_PLANS: plan {0}: {1}")]
    Invalid(String, String),
}

/// The rate window is one array per user. This bounds its length.
const MAX_REQUESTS_PER_MINUTE: u32 = 10_000;

/// Bytes and tokens are compared as `bigint`. No account uses as much.
const MAX_QUOTA: u64 = 1 << 60;

/// A hundred years.
const MAX_RETENTION_DAYS: u32 = 36_500;

impl Plans {
    /// The built-in plans.
    #[must_use]
    pub fn built_in() -> Self {
        let plan = |api, requests_per_minute, running_runs| Plan {
            api,
            requests_per_minute,
            api_keys: 10,
            running_runs,
            ceilings: Ceilings::default(),
            max_pending_runs: None,
            max_stored_bytes: None,
            max_request_bytes_per_day: None,
            max_tokens_per_day: None,
            retention_days: None,
            webhook_networks: None,
        };
        // The plan of sign-ups. The samples of deploy/apps fit it, and so does an app that sets no limits.
        let mut ceilings = Ceilings { max_seconds: Some(900), max_steps: Some(50), ..Ceilings::default() };
        for limit in Limits::ALL {
            let set = (limit.ceiling)(&ceilings).unwrap_or(limit.default);
            (limit.set_ceiling)(&mut ceilings, set);
        }
        let free = Plan {
            ceilings,
            max_pending_runs: Some(20),
            max_stored_bytes: Some(200 << 20),
            max_request_bytes_per_day: Some(100 << 20),
            max_tokens_per_day: Some(1_000_000),
            retention_days: Some(30),
            ..plan(false, 30, 2)
        };
        Self(BTreeMap::from([
            ("free".to_owned(), free),
            ("pro".to_owned(), plan(true, 30, 20)),
            ("team".to_owned(), plan(true, 300, 100)),
        ]))
    }

    /// The built-in plans, overridden and extended by the file if there is one.
    pub fn read(path: Option<&Path>) -> Result<Self, PlansError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            plans: BTreeMap<String, Plan>,
        }
        let mut plans = Self::built_in();
        if let Some(path) = path {
            let text =
                std::fs::read_to_string(path).map_err(|error| PlansError::Read(path.to_owned(), error))?;
            let file: File =
                toml::from_str(&text).map_err(|error| PlansError::Parse(path.to_owned(), Box::new(error)))?;
            for (name, plan) in file.plans {
                check(&plan).map_err(|what| PlansError::Invalid(name.clone(), what))?;
                plans.0.insert(name, plan);
            }
        }
        Ok(plans)
    }

    /// The same plans, for an installation that deletes nothing by itself.
    #[must_use]
    pub fn without_retention(mut self) -> Self {
        for plan in self.0.values_mut() {
            plan.retention_days = None;
        }
        self
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Plan> {
        self.0.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Plan)> {
        self.0.iter().map(|(name, plan)| (name.as_str(), plan))
    }

    /// A JSON object from each plan with API access to its requests per minute, as the admitting statement
    /// takes it.
    #[must_use]
    pub fn rates(&self) -> serde_json::Value {
        self.0
            .iter()
            .filter(|(_, plan)| plan.api)
            .map(|(name, plan)| (name.clone(), plan.requests_per_minute.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// The largest rate of all plans.
    #[must_use]
    pub fn largest_rate(&self) -> u32 {
        self.0.values().map(|plan| plan.requests_per_minute).max().unwrap_or(1)
    }

    /// A JSON object from each plan to its running runs, as the claim takes it.
    #[must_use]
    pub fn running_caps(&self) -> serde_json::Value {
        self.0
            .iter()
            .map(|(name, plan)| (name.clone(), plan.running_runs.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// The cap of accounts whose plan no longer exists: the smallest cap of all plans.
    #[must_use]
    pub fn smallest_running_cap(&self) -> u32 {
        self.0.values().map(|plan| plan.running_runs).min().unwrap_or(1)
    }
}

fn check(plan: &Plan) -> Result<(), String> {
    if !(1..=MAX_REQUESTS_PER_MINUTE).contains(&plan.requests_per_minute) {
        return Err("requests_per_minute must be 1 to 10000".to_owned());
    }
    if !(1..=1_000_000).contains(&plan.running_runs) {
        return Err("running_runs must be 1 to 1000000".to_owned());
    }
    if let Some(limit) = Limits::ALL.iter().find(|limit| (limit.ceiling)(&plan.ceilings) == Some(0)) {
        return Err(format!("{} must be at least 1", limit.ceiling_name));
    }
    if plan.max_pending_runs == Some(0) {
        return Err("max_pending_runs must be at least 1".to_owned());
    }
    let quotas = [plan.max_stored_bytes, plan.max_request_bytes_per_day, plan.max_tokens_per_day];
    if quotas.into_iter().flatten().any(|quota| !(1..=MAX_QUOTA).contains(&quota)) {
        return Err(
            "max_stored_bytes, max_request_bytes_per_day and max_tokens_per_day must be 1 to 2^60".to_owned()
        );
    }
    if plan.retention_days.is_some_and(|days| !(1..=MAX_RETENTION_DAYS).contains(&days)) {
        return Err("retention_days must be 1 to 36500".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_overrides_and_adds() {
        let dir = std::env::temp_dir().join(format!("capi-plans-{}", std::process::id()));
        let whole = "api=true\nrequests_per_minute=5\napi_keys=1\nrunning_runs=3\n";
        std::fs::write(&dir, format!("[plans.pro]\n{whole}[plans.big]\n{whole}max_seconds=9\n")).unwrap();
        let plans = Plans::read(Some(&dir)).unwrap();
        assert_eq!(plans.names().collect::<Vec<_>>(), ["big", "free", "pro", "team"]);
        assert_eq!(plans.rates(), serde_json::json!({"big": 5, "pro": 5, "team": 300}));
        assert_eq!(plans.running_caps(), serde_json::json!({"big": 3, "free": 2, "pro": 3, "team": 100}));
        std::fs::write(&dir, "[plans.pro]\napi=true\nrequests_per_minute=0\napi_keys=1\nrunning_runs=3\n")
            .unwrap();
        assert!(Plans::read(Some(&dir)).unwrap_err().to_string().contains("requests_per_minute"));
        for (field, value) in [
            ("max_steps", 0_u64),
            ("max_tool_calls", 0),
            ("unknown", 1),
            ("max_pending_runs", 0),
            ("max_stored_bytes", 0),
            ("max_request_bytes_per_day", 1 << 61),
            ("max_tokens_per_day", 0),
            ("retention_days", 0),
        ] {
            std::fs::write(&dir, format!("[plans.pro]\n{whole}{field} = {value}\n")).unwrap();
            let refused = Plans::read(Some(&dir)).unwrap_err().to_string();
            assert!(refused.contains("CAPI_PLANS") && refused.contains(field), "{refused}");
        }
        std::fs::write(&dir, format!("[plans.pro]\n{whole}webhook_networks=['10.0.0.0']\n")).unwrap();
        let error = Plans::read(Some(&dir)).unwrap_err().to_string();
        assert!(error.contains("\"10.0.0.0\" is not a network"), "{error}");
        std::fs::remove_file(dir).unwrap();
    }
}
