//! What must hold after the storm.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use e2e::Stack;
use shared::testing::WebhookReceiver;

use crate::places::check_places;
use crate::report::Report;
use crate::run_checks::{count, settled};

const WEBHOOKS_WITHIN: Duration = Duration::from_mins(2);
/// Runs of which three workers in a row may die by chance.
const MAY_BE_LOST: usize = 3;
const OPEN: &str = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'";

/// Runs whose log is wrong: a gap, an event behind the end, an end that is not the run's, attempts that go
/// back, or an attempt without its start.
const WRONG_LOGS: &str = "
WITH logs AS (
    SELECT run_id, count(*) AS events, max(seq) AS last, array_agg(type ORDER BY seq) AS types,
        array_agg(attempt ORDER BY seq) FILTER (WHERE attempt > 0) AS attempts,
        count(*) FILTER (WHERE type IN ('run.completed', 'run.failed', 'run.cancelled')) AS ends
    FROM run_events GROUP BY run_id)
SELECT concat_ws(' ', r.id, r.status, r.attempt, r.last_seq, l.types::text, l.attempts::text) AS text
FROM runs r LEFT JOIN logs l ON l.run_id = r.id
WHERE l.run_id IS NULL OR l.events <> r.last_seq OR l.last <> r.last_seq OR l.types[1] <> 'run.created'
    OR l.ends <> 1 OR l.types[r.last_seq] <> 'run.' || r.status
    OR l.attempts <> (SELECT array_agg(a ORDER BY a) FROM unnest(l.attempts) a)
    OR r.attempt <> cardinality(
        array_positions(l.types, 'run.started') || array_positions(l.types, 'run.taken_over'))";

/// Runs without exactly the delivery of their end.
const WRONG_DELIVERIES: &str = "
SELECT concat_ws(' ', r.id, r.status, array_agg(d.type)::text) AS text
FROM runs r LEFT JOIN webhook_deliveries d ON d.run_id = r.id
GROUP BY r.id HAVING array_agg(d.type) IS DISTINCT FROM ARRAY['run.' || r.status]";

/// `accepted` are the runs that were answered 202, `deleted` those that a delete may have removed.
pub(super) async fn all(
    report: &mut Report,
    stack: &Stack,
    receiver: &WebhookReceiver,
    (mut accepted, deleted): (HashSet<String>, &HashSet<String>),
) {
    settled(stack).await;
    let rows: HashSet<String> = stack.texts("SELECT id::text AS text FROM runs").await.into_iter().collect();
    accepted.retain(|id| rows.contains(id) || !deleted.contains(id));
    count(report, stack, &accepted).await;
    let deadline = Instant::now() + WEBHOOKS_WITHIN;
    while stack.text(OPEN).await != "0" && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let open = stack.text(OPEN).await;
    report.must(open == "0", || format!("{open} webhooks are not delivered"));
    for (what, sql) in [("logs", WRONG_LOGS), ("deliveries", WRONG_DELIVERIES)] {
        let wrong = stack.texts(sql).await;
        report.must(wrong.is_empty(), || format!("{what}: {wrong:?}"));
    }
    let failed = "SELECT coalesce(error_code, '') AS text FROM runs WHERE status = 'failed'";
    let failed = stack.texts(failed).await;
    report.must(failed.iter().all(|code| code == "worker_lost"), || format!("failed runs: {failed:?}"));
    report.must(failed.len() <= MAY_BE_LOST, || format!("{} runs lost their workers", failed.len()));
    report.notes.push(format!("{} runs lost three workers in one step", failed.len()));
    check_places(report, stack).await;
    check_webhooks(report, stack, receiver).await;
}

/// Each webhook arrived at least once, always under the id of its delivery.
async fn check_webhooks(report: &mut Report, stack: &Stack, receiver: &WebhookReceiver) {
    let sent = "SELECT run_id || ' ' || type || ' ' || id AS text FROM webhook_deliveries";
    let sent = stack.texts(sent).await;
    let mut arrived: HashMap<String, usize> = HashMap::new();
    let mut ids: HashMap<String, HashSet<String>> = HashMap::new();
    for webhook in receiver.received() {
        let body = webhook.json();
        let event = format!(
            "{} {}",
            body["data"]["id"].as_str().unwrap_or_default(),
            body["type"].as_str().unwrap_or_default()
        );
        let id = webhook.headers.get("webhook-id").cloned().unwrap_or_default();
        *arrived.entry(format!("{event} {id}")).or_default() += 1;
        ids.entry(event).or_default().insert(id);
    }
    let missing: Vec<_> = sent.iter().filter(|webhook| !arrived.contains_key(*webhook)).collect();
    report.must(missing.is_empty(), || format!("webhooks that did not arrive: {missing:?}"));
    let changed: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
    report.must(changed.is_empty(), || format!("events with two webhook ids: {changed:?}"));
    let again: usize = arrived.values().map(|times| times - 1).sum();
    report.notes.push(format!("webhooks: {} events arrived, {again} of them again", arrived.len()));
}
