//! Sends one webhook request and turns the answer, or the failure, into an [`AttemptResult`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use public_client::header::{HeaderMap, RETRY_AFTER};
use public_client::{CONNECT_TIMEOUT, Limits, PublicClient, Response};
use shared::config::Networks;
use shared::deliveries::DeliveryError;
use shared::net::ip_policy::{IpPolicy, is_public};
use shared::text::CleanText;
use shared::webhook_policies::WebhookPolicies;

use crate::attempt::AttemptResult;
use crate::retry_after::retry_after;

/// From connecting to the status of the answer.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);
/// The body changes nothing, and some receivers never end it.
const BODY_TIME: Duration = Duration::from_secs(1);
/// Bytes of a body that are read. A receiver may answer at length, so this is more than is stored.
const READ_BYTES: usize = 16 * 1024;
const STORED_BYTES: usize = 1024;

pub struct WebhookClient {
    /// For plans whose webhooks reach only public addresses.
    public: PublicClient,
    /// For the other plans, by their name.
    opened: BTreeMap<String, PublicClient>,
    policies: WebhookPolicies,
    total_timeout: Duration,
    also_public: Networks,
}

impl WebhookClient {
    pub fn new(
        policies: WebhookPolicies,
        total_timeout: Duration,
        also_public: Networks,
    ) -> anyhow::Result<Self> {
        let limits = Limits { connect: CONNECT_TIMEOUT, total: total_timeout, body_bytes: READ_BYTES };
        let user_agent = concat!("capi-webhooks/", env!("CARGO_PKG_VERSION"));
        // Receivers must accept a webhook twice anyway.
        let client = |policy: &IpPolicy| {
            PublicClient::new(user_agent, policy.clone(), limits).map(PublicClient::keeping_connections)
        };
        let opened = policies.opened().map(|(plan, policy)| Ok((plan.to_owned(), client(policy)?)));
        let opened = opened.collect::<anyhow::Result<_>>()?;
        Ok(Self { public: client(&IpPolicy::only_public())?, opened, policies, total_timeout, also_public })
    }

    /// The longest time of one [`Self::post`].
    #[must_use]
    pub const fn total_timeout(&self) -> Duration {
        self.total_timeout
    }

    /// Sends a webhook of an account with this plan.
    pub async fn post(&self, plan: &str, url: &str, headers: HeaderMap, body: Vec<u8>) -> AttemptResult {
        let started = Instant::now();
        // Without plans that reach more than public addresses, it does not matter which plan it is.
        if !self.opened.is_empty() && !self.policies.knows(plan) {
            tracing::warn!(
                plan,
                "the account's plan is not in CAPI_PLANS; only public addresses are reached"
            );
        }
        let client = self.opened.get(plan).unwrap_or(&self.public);
        let answer = client.post(url, headers, body).await;
        let duration = started.elapsed();
        let result = match answer {
            Ok(response) => self.read(response).await,
            Err(failure) => AttemptResult::failed((&failure).into(), &failure.to_string()),
        };
        AttemptResult { duration, ..result }
    }

    async fn read(&self, response: Response) -> AttemptResult {
        let peer = response.peer();
        let shown = is_public(peer) || self.also_public.0.iter().any(|network| network.contains(&peer));
        read(response, shown).await
    }
}

/// The status decides. `shown`: the account's owner may see the answer. An answer from an internal network
/// stays there, so that a webhook is no way to read internal services.
async fn read(response: Response, shown: bool) -> AttemptResult {
    let status = response.status();
    let retry_after = response.header(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now()));
    let result = match status {
        200..=299 => AttemptResult::default(),
        300..=399 => AttemptResult::failed(
            DeliveryError::Status,
            "The receiver redirects. capi does not follow; give the final URL.",
        ),
        _ => AttemptResult::failed(DeliveryError::Status, &format!("The receiver answered {status}.")),
    };
    let body = response.read_for(BODY_TIME).await.bytes;
    AttemptResult {
        status_code: Some(status),
        response_body: shown.then(|| CleanText::from_bytes(&body, STORED_BYTES)),
        retry_after,
        ..result
    }
}
