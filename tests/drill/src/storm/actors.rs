//! Who does what during the storm.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use e2e::{PrivateBroker, Process, Service, Signal, Stack};
use serde_json::json;

use super::{Faults, Scene};
use crate::family;
use crate::places::wrong_places;

/// Longer than a lease.
const SUSPENDED: Duration = Duration::from_secs(4);
const BETWEEN_FAULTS: Duration = Duration::from_millis(1500);
const BETWEEN_CANCELS: Duration = Duration::from_millis(150);
const BETWEEN_DELETES: Duration = Duration::from_millis(300);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
const CONCURRENCY: &str = "8";
/// Every so many faults the broker restarts.
const BROKER_EVERY: usize = 12;

async fn start(stack: &Stack, service: Service) -> Process {
    stack.start_with(service, "CAPI_WORKER_CONCURRENCY", CONCURRENCY).await
}

/// Kills and suspends workers, kills dispatchers and restarts the broker, until the storm is over. All
/// services run at its end.
pub(super) async fn break_processes(scene: &Scene, broker: &mut PrivateBroker) -> Faults {
    let stack = &scene.stack;
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(start(stack, Service::RunWorker).await);
    }
    let mut dispatchers =
        vec![start(stack, Service::WebhookDispatcher).await, start(stack, Service::WebhookDispatcher).await];
    let mut counts = [0_usize; 4];
    for number in 1_usize.. {
        tokio::select! { () = tokio::time::sleep(BETWEEN_FAULTS) => {}, () = scene.over.cancelled() => break }
        let kind = if number.is_multiple_of(BROKER_EVERY) { 3 } else { number % 3 };
        counts[kind] += 1;
        match kind {
            0 => replace(stack, Service::RunWorker, &mut workers).await,
            1 => replace(stack, Service::WebhookDispatcher, &mut dispatchers).await,
            2 => {
                family::signal(&workers[0], "STOP");
                tokio::time::sleep(SUSPENDED).await;
                family::signal(&workers[0], "CONT");
                workers.rotate_left(1);
            }
            _ => broker.restart(if counts[3].is_multiple_of(2) { Signal::TERM } else { Signal::KILL }).await,
        }
    }
    let running = workers.into_iter().chain(dispatchers).collect();
    let [killed, dispatchers_killed, suspended, restarts] = counts;
    let words = format!(
        "{killed} workers killed and {suspended} suspended, {dispatchers_killed} dispatchers killed, \
         {restarts} restarts of the broker"
    );
    Faults { count: counts.iter().sum(), words, running }
}

/// Kills the oldest process and starts another one.
async fn replace(stack: &Stack, service: Service, running: &mut Vec<Process>) {
    running.remove(0).kill().await;
    running.push(start(stack, service).await);
}

/// A random run with this condition, and the key of its account.
async fn any_run(scene: &Scene, condition: &str) -> Option<(String, String)> {
    let sql = format!(
        "SELECT r.id || ' ' || u.email AS text FROM runs r JOIN users u ON u.id = r.user_id
         WHERE {condition} ORDER BY random() LIMIT 1"
    );
    let found = scene.stack.texts(&sql).await.pop()?;
    let (id, email) = found.split_once(' ')?;
    let account = scene.accounts.iter().find(|account| account.email == email)?;
    Some((id.to_owned(), account.key.clone()))
}

/// Cancels open runs. Returns how many cancels were answered 200.
pub(super) async fn cancel(scene: &Scene) -> usize {
    let (mut done, client) = (0, scene.stack.client());
    while pause(scene, BETWEEN_CANCELS).await {
        let Some((id, key)) = any_run(scene, "r.completed_at IS NULL").await else { continue };
        let url = format!("{}/api/v1/runs/{id}/cancel", scene.gateways[0].url());
        let answer = client.post(url).bearer_auth(key).json(&json!({})).send().await;
        done += usize::from(answer.is_ok_and(|answer| answer.status() == 200));
    }
    done
}

/// Deletes runs that are over. Returns those that it tried to delete.
pub(super) async fn delete(scene: &Scene) -> HashSet<String> {
    let (mut tried, client) = (HashSet::new(), scene.stack.client());
    while pause(scene, BETWEEN_DELETES).await {
        let Some((id, key)) = any_run(scene, "r.completed_at IS NOT NULL").await else { continue };
        let url = format!("{}/api/v1/runs/{id}", scene.gateways[1].url());
        // Without an answer it may be deleted or not.
        let _ = client.delete(url).bearer_auth(key).send().await;
        tried.insert(id);
    }
    tried
}

/// Looks at the places of all accounts. Returns what was wrong, and how often an account had its whole cap.
pub(super) async fn watch_places(scene: &Scene, cap: usize) -> (BTreeSet<String>, usize) {
    let full = format!("SELECT count(*)::text AS text FROM user_slots WHERE running = {cap}");
    let (mut wrong, mut at_cap) = (BTreeSet::new(), 0);
    while pause(scene, BETWEEN_LOOKS).await {
        wrong.extend(wrong_places(&scene.stack, cap).await);
        at_cap += usize::from(scene.stack.text(&full).await != "0");
    }
    (wrong, at_cap)
}

/// Whether the storm goes on after this time.
async fn pause(scene: &Scene, time: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = scene.over.cancelled() => false,
    }
}
