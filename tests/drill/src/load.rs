//! Creates runs at a steady rate like a careful client: with an idempotency key, and again after no answer or
//! a 503.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use e2e::{Process, Stack};
use serde_json::{Value, json};
use shared::ids::AppId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For one create with all its requests.
const GIVE_UP: Duration = Duration::from_secs(90);
const RETRY: Duration = Duration::from_millis(200);
const MAX_IN_FLIGHT: usize = 500;

/// The answers to the creates.
#[derive(Default)]
pub(crate) struct Answers {
    /// The runs that were answered 202.
    pub(crate) accepted: HashSet<String>,
    /// The number of answers 503.
    pub(crate) refused: usize,
    /// The number of failed connections.
    pub(crate) broken: usize,
    /// How long each answer 202 took.
    pub(crate) took: Vec<Duration>,
    /// The slowest answer 503.
    pub(crate) slowest_refusal: Duration,
    /// Answers that are wrong even during a fault.
    pub(crate) wrong: Vec<String>,
}

impl Answers {
    /// A percentile of the times of the answers 202; 100 is the slowest.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let at = (took.len() * percent / 100).min(took.len().saturating_sub(1));
        took.get(at).copied().unwrap_or_default()
    }
}

struct Shared {
    client: reqwest::Client,
    key: String,
    app: AppId,
    more: Value,
    gateways: Mutex<Vec<String>>,
    answers: Mutex<Answers>,
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    stopping: CancellationToken,
    creating: tokio::task::JoinHandle<()>,
}

impl Load {
    /// Starts the load of the stack's account. `text` makes the input of each run from its number, `more`
    /// holds further fields.
    pub(crate) fn start(
        stack: &Stack,
        gateways: &[&Process],
        per_second: u32,
        more: Value,
        text: impl Fn(usize) -> String + Send + 'static,
    ) -> Self {
        Self::start_as((&stack.key, stack.app), gateways, per_second, more, text)
    }

    /// The same with the key and the app of an account.
    pub(crate) fn start_as(
        (key, app): (&str, AppId),
        gateways: &[&Process],
        per_second: u32,
        more: Value,
        text: impl Fn(usize) -> String + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            client: reqwest::Client::builder()
                .timeout(REQUEST_TIMEOUT)
                .pool_max_idle_per_host(4)
                .build()
                .unwrap_or_default(),
            key: key.to_owned(),
            app,
            more,
            gateways: Mutex::new(gateways.iter().map(|gateway| gateway.url()).collect()),
            answers: Mutex::default(),
        });
        let (stopping, creating) = (CancellationToken::new(), Arc::clone(&shared));
        let stopped = stopping.clone();
        let creating = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
            let (mut creates, permits) = (JoinSet::new(), Arc::new(Semaphore::new(MAX_IN_FLIGHT)));
            for number in 0.. {
                tokio::select! { _ = ticks.tick() => {}, () = stopped.cancelled() => break }
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
                let (shared, text) = (Arc::clone(&creating), text(number));
                creates.spawn(async move {
                    shared.create(number, &text).await;
                    drop(permit);
                });
            }
            creates.join_all().await;
        });
        Self { shared, stopping, creating }
    }

    /// Sends all further requests to these gateways.
    pub(crate) fn use_gateways(&self, gateways: &[&Process]) {
        *lock(&self.shared.gateways) = gateways.iter().map(|gateway| gateway.url()).collect();
    }

    /// Stops and waits for the answers to all creates.
    pub(crate) async fn stop(self) -> Answers {
        self.stopping.cancel();
        let ended = self.creating.await;
        let mut answers = std::mem::take(&mut *lock(&self.shared.answers));
        if ended.is_err() || answers.accepted.is_empty() {
            answers.wrong.push("the load failed, or no create was accepted".to_owned());
        }
        answers
    }
}

impl Shared {
    async fn create(&self, number: usize, text: &str) {
        let key = uuid::Uuid::now_v7().to_string();
        let mut body = json!({"appId": self.app, "inputs": {"text": text}});
        for (name, value) in self.more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let begun = Instant::now();
        for attempt in number.. {
            let gateway = {
                let gateways = lock(&self.gateways);
                gateways[attempt % gateways.len()].clone()
            };
            let sent = Instant::now();
            let request = self.client.post(format!("{gateway}/api/v1/runs")).bearer_auth(&self.key);
            let answer = request.header("idempotency-key", &key).json(&body).send().await;
            let answer = match answer {
                Ok(answer) => {
                    Ok((answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default()))
                }
                Err(error) => Err(error),
            };
            if self.note(answer, sent.elapsed()) {
                return;
            }
            if begun.elapsed() > GIVE_UP {
                lock(&self.answers).wrong.push(format!("no answer within {GIVE_UP:?}"));
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Returns whether the create is finished.
    fn note(&self, answer: reqwest::Result<(u16, Value)>, took: Duration) -> bool {
        let mut answers = lock(&self.answers);
        match answer {
            Ok((202, body)) if body["id"].is_string() => {
                let id = body["id"].as_str().unwrap_or_default().to_owned();
                if !answers.accepted.insert(id.clone()) {
                    answers.wrong.push(format!("two keys have one run: {id}"));
                }
                answers.took.push(took);
                return true;
            }
            Ok((503, _)) => {
                answers.refused += 1;
                answers.slowest_refusal = answers.slowest_refusal.max(took);
            }
            Ok((status, body)) => {
                answers.wrong.push(format!("answered {status}: {body}"));
                return true;
            }
            Err(error) if error.is_timeout() => answers.wrong.push(format!("no answer in {took:?}")),
            Err(_) => answers.broken += 1,
        }
        false
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
