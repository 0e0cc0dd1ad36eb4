//! Which hosts a run may contact, and which it contacted. An app restricts its fetches with `[fetch]`
//! (`shared::apps::FetchRules`); every app has bounds on the rate and on the number of hosts.
//!
//! One [`Egress`] belongs to an attempt of a run. It follows from the app, the inputs and the transcript, so
//! another attempt decides alike. Only the rate is counted anew.

mod host_log;
mod known;
mod provider;
mod rate;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use public_client::Hops;
use serde_json::Value;
use shared::apps::{FetchRules, FetchUrls};
use shared::net::host_rule::HostRule;
use tokio::time::Instant;
use url::Url;

pub use host_log::{HostLog, recorded_hosts};
use known::KnownUrls;
pub use known::Origin;
use rate::Rate;

/// Hosts that one run may contact. So the list that the run shows is bounded and still complete.
const MAX_HOSTS: usize = 100;
/// Hosts that a refusal names: the model needs a hint, not the whole list.
const SHOWN_HOSTS: usize = 20;

/// The rules for the fetches of one run.
pub struct Egress {
    /// `None` allows every host.
    hosts: Option<Vec<HostRule>>,
    only_known: bool,
    state: Mutex<State>,
    /// `None` in tests of the rules.
    log: Option<HostLog>,
}

struct State {
    known: KnownUrls,
    /// The texts of the inputs, until they are read.
    given: Vec<String>,
    /// How many texts of the transcript `known` holds.
    read: usize,
    rate: Rate,
    /// The hosts that the run contacted or is about to contact.
    hosts: BTreeSet<String>,
}

/// Why a URL is refused.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Host,
    UnknownUrl,
    TooManyHosts,
    Rate(String),
}

impl Egress {
    #[must_use]
    pub fn new(rules: &FetchRules, inputs: &Value, contacted: &BTreeSet<String>) -> Self {
        let listed = !rules.hosts.is_empty() || rules.urls == FetchUrls::Listed;
        // The gateway stores no rule that does not parse. If there is one, it allows no host.
        let hosts =
            listed.then(|| rules.hosts.iter().filter_map(|rule| HostRule::parse(rule).ok()).collect());
        let only_known = rules.urls == FetchUrls::Known;
        let mut given = Vec::new();
        if only_known {
            each_text(inputs, &mut |text| given.push(text.to_owned()));
        }
        let state = State {
            known: KnownUrls::default(),
            given,
            read: 0,
            rate: Rate::default(),
            hosts: contacted.clone(),
        };
        Self { hosts, only_known, state: Mutex::new(state), log: None }
    }

    /// Records the hosts before they are contacted.
    #[must_use]
    pub fn with_log(self, log: HostLog) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Learns the URLs in the texts that the model did not write. `sources` are all of them, in their order;
    /// the ones of the last call are skipped. A long text takes time, which must not block other tasks.
    pub async fn read<'t>(self: &Arc<Self>, sources: impl Iterator<Item = (&'t str, Origin)>) {
        let texts = self.unread(sources);
        if texts.is_empty() {
            return;
        }
        let egress = Arc::clone(self);
        let learning = tokio::task::spawn_blocking(move || {
            for (text, origin) in &texts {
                egress.lock().known.learn(text, *origin);
            }
        });
        if let Err(error) = learning.await {
            tracing::error!(%error, "failed to find the URLs in a text; they are not known");
        }
    }

    fn unread<'t>(&self, sources: impl Iterator<Item = (&'t str, Origin)>) -> Vec<(String, Origin)> {
        if !self.only_known {
            return Vec::new();
        }
        let mut state = self.lock();
        let given = std::mem::take(&mut state.given);
        let sources: Vec<_> =
            sources.skip(state.read).map(|(text, origin)| (text.to_owned(), origin)).collect();
        state.read += sources.len();
        given.into_iter().map(|text| (text, Origin::Given)).chain(sources).collect()
    }

    fn check(&self, url: &Url, redirects: usize, now: Instant) -> Result<String, Refusal> {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        if self.hosts.as_ref().is_some_and(|rules| !rules.iter().any(|rule| rule.allows(&host))) {
            return Err(Refusal::Host);
        }
        let mut state = self.lock();
        // The server chose the target of a redirect, so the model cannot have put anything into it.
        if self.only_known && redirects == 0 && !state.known.contains(url) {
            return Err(Refusal::UnknownUrl);
        }
        if state.hosts.len() >= MAX_HOSTS && !state.hosts.contains(&host) {
            return Err(Refusal::TooManyHosts);
        }
        state.rate.take(&host, now).map_err(Refusal::Rate)?;
        state.hosts.insert(host.clone());
        Ok(host)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sentence for the model. It says what is allowed.
    fn sentence(&self, refusal: &Refusal, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        match refusal {
            Refusal::Host => {
                let rules = self.hosts.as_deref().unwrap_or_default();
                let shown: Vec<_> = rules.iter().take(SHOWN_HOSTS).map(ToString::to_string).collect();
                let more = if rules.len() > SHOWN_HOSTS { " and others" } else { "" };
                format!(
                    "This app may not contact the host {host}. It may contact: {}{more}.",
                    if shown.is_empty() { "no host".to_owned() } else { shown.join(", ") }
                )
            }
            Refusal::UnknownUrl => "This app may fetch only URLs that are written in its instructions, its \
                                    inputs, or a page or a search result that it got before. Use such a \
                                    URL exactly as it is written there; do not change it or add to it."
                .to_owned(),
            Refusal::TooManyHosts => {
                format!("This run has contacted {MAX_HOSTS} hosts, the most that it may. Use one of these.")
            }
            Refusal::Rate(why) => why.clone(),
        }
    }
}

impl Refusal {
    /// The label of the metric.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::UnknownUrl => "unknown_url",
            Self::TooManyHosts => "too_many_hosts",
            Self::Rate(_) => "rate",
        }
    }
}

/// What one call of a tool may contact, and what it contacted.
pub struct CallEgress {
    run: Arc<Egress>,
    /// Hosts to which requests were begun. One that failed counts too: a query for an address can carry data
    /// in the name.
    contacted: Mutex<BTreeSet<String>>,
}

impl CallEgress {
    #[must_use]
    pub fn new(run: Arc<Egress>) -> Self {
        Self { run, contacted: Mutex::default() }
    }

    /// The hosts that the call contacted so far, sorted.
    #[must_use]
    pub fn contacted_hosts(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.contacted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the host, or a sentence for the model.
    fn decide(&self, url: &Url, redirects: usize) -> Result<String, String> {
        self.run.check(url, redirects, Instant::now()).map_err(|refusal| {
            metrics::counter!("capi_fetch_refusals_total", "reason" => refusal.reason()).increment(1);
            // Not the URL: it may hold what the model read.
            tracing::info!(reason = refusal.reason(), host = url.host_str(), redirects, "refused a fetch");
            self.run.sentence(&refusal, url)
        })
    }
}

impl Hops for CallEgress {
    async fn check(&self, url: &Url, redirects: usize) -> Result<(), String> {
        let host = self.decide(url, redirects)?;
        if let Some(log) = &self.run.log {
            log.begin(&host).await?;
        }
        self.lock().insert(host);
        Ok(())
    }
}

/// Every string in a JSON value. Keys are names of the app's fields.
fn each_text(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, visit)),
        Value::Object(members) => members.values().for_each(|member| each_text(member, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
