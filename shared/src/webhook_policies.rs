//! Where the webhooks of each plan may go. The gateway checks a URL when a run is created, and the dispatcher
//! checks each address when it delivers, so both read the same settings.

use std::collections::BTreeMap;

use crate::config::{Networks, Plans};
use crate::net::ip_policy::IpPolicy;

/// The plans whose webhooks may reach more than public addresses.
#[derive(Debug, Clone)]
pub struct WebhookPolicies {
    by_plan: BTreeMap<String, IpPolicy>,
    known: Vec<String>,
}

static PUBLIC: IpPolicy = IpPolicy::only_public();

impl WebhookPolicies {
    /// A plan's own networks replace those of CAPI_WEBHOOK_ALLOWED_NETWORKS.
    #[must_use]
    pub fn new(plans: &Plans, everyone: &Networks) -> Self {
        let known: Vec<_> = plans.names().map(str::to_owned).collect();
        let networks = |name: &str| {
            let own = plans.get(name).and_then(|plan| plan.webhook_networks.as_ref());
            own.unwrap_or(everyone).0.clone()
        };
        let by_plan = known.iter().map(|name| (name.clone(), networks(name)));
        let by_plan = by_plan.filter(|(_, networks)| !networks.is_empty());
        let by_plan = by_plan.map(|(name, networks)| (name, IpPolicy::new(networks))).collect();
        Self { by_plan, known }
    }

    /// The policy of a plan. Of a plan that CAPI_PLANS does not define: only public addresses.
    #[must_use]
    pub fn of(&self, plan: &str) -> &IpPolicy {
        self.by_plan.get(plan).unwrap_or(&PUBLIC)
    }

    /// Whether CAPI_PLANS defines the plan.
    #[must_use]
    pub fn knows(&self, plan: &str) -> bool {
        self.known.iter().any(|known| known == plan)
    }

    /// The plans whose webhooks may reach more than public addresses, with their policies.
    pub fn opened(&self) -> impl Iterator<Item = (&str, &IpPolicy)> {
        self.by_plan.iter().map(|(name, policy)| (name.as_str(), policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_may_have_networks_of_its_own() {
        let file = std::env::temp_dir().join(format!("capi-webhook-plans-{}", std::process::id()));
        let whole = "api=true\nrequests_per_minute=5\napi_keys=1\nrunning_runs=3\n";
        let text = format!(
            "[plans.free]\n{whole}webhook_networks=[]\n[plans.team]\n{whole}webhook_networks=['10.0.0.0/8']\n"
        );
        std::fs::write(&file, text).unwrap();
        let plans = Plans::read(Some(&file)).unwrap();
        std::fs::remove_file(file).unwrap();
        let policies = WebhookPolicies::new(&plans, &"127.0.0.0/8".parse().unwrap());
        let permits = |plan: &str, address: &str| policies.of(plan).permits(address.parse().unwrap());
        for (plan, loopback, private) in
            [("free", false, false), ("pro", true, false), ("team", false, true), ("gone", false, false)]
        {
            let found = (permits(plan, "127.0.0.1"), permits(plan, "10.1.2.3"));
            assert_eq!(found, (loopback, private), "{plan}");
            assert!(permits(plan, "8.8.8.8"), "{plan}");
        }
        assert_eq!(policies.opened().map(|(plan, _)| plan).collect::<Vec<_>>(), ["pro", "team"]);
        assert!(policies.knows("free") && !policies.knows("gone"));
    }
}
