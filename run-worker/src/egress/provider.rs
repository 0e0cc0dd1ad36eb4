//! The requests of a search go to a provider that the operator chose. So the app's rules for pages do not
//! apply to them, but the run lists the provider's host as contacted.

use super::CallEgress;

impl CallEgress {
    /// Call it before a request to this host. An error is a sentence for the model: no request may be sent.
    pub async fn begin_search(&self, host: &str) -> Result<(), String> {
        if let Some(log) = &self.run.log {
            log.begin(host).await?;
        }
        self.run.lock().hosts.insert(host.to_owned());
        self.lock().insert(host.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::json;
    use shared::apps::{FetchRules, FetchUrls};

    use crate::egress::{CallEgress, Egress};

    #[tokio::test]
    async fn a_provider_is_contacted_whatever_the_rules_of_the_app() {
        let rules = FetchRules { hosts: vec!["example.org".to_owned()], urls: FetchUrls::Known };
        let egress = Arc::new(Egress::new(&rules, &json!({}), &BTreeSet::new()));
        let call = CallEgress::new(egress);
        call.begin_search("search.example").await.unwrap();
        assert_eq!(call.contacted_hosts(), ["search.example"]);
    }
}
