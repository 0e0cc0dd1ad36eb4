//! All workers together have fewer places than one user's cap. The user's backlog takes them all. A run of
//! another user must get the next place that is free, not the last one.

use std::time::Duration;

use e2e::{Account, Process, Service, Stack};
use serde_json::json;
use shared::testing::eventually;

use crate::report::Report;
use crate::run_checks::settled;
use crate::stage::Stage;

const CAP: usize = 20;
const PLACES: usize = 16;
const BACKLOG: usize = 200;
/// Single runs of the other user, one after the other.
const SINGLE: usize = 4;
const RUN_MS: u64 = 1000;
/// A place is free after one run at the latest, and R18 allows a second.
const WITHIN: Duration = Duration::from_millis(RUN_MS + 1000);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("R18 with fewer places than one cap", WITHIN);
    let stack = stage.stack_of(CAP).await;
    let gateway = stack.start(Service::Gateway).await;
    let text = format!("SCRIPT {}", json!([{"wait": RUN_MS, "say": "Done."}]));
    stack.backlog(BACKLOG, &text).await;
    let _worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", &PLACES.to_string()).await;
    let running = "SELECT count(*)::text AS text FROM runs WHERE status = 'running'";
    eventually("all places are taken", async || {
        (stack.text(running).await == PLACES.to_string()).then_some(())
    })
    .await;
    let other = stack.account("other@example.com", "drill").await;
    for _ in 0..SINGLE {
        let id = create(&stack, &gateway, &other, &text).await;
        report.faults += 1;
        let (waited, overtaken) = started(&stack, &id).await;
        report.recoveries.push(waited);
        report.must(overtaken <= PLACES, || format!("{overtaken} runs of the backlog started before it"));
    }
    let pending = "SELECT count(*)::text AS text FROM runs WHERE status = 'pending'";
    let pending: usize = stack.text(pending).await.parse().unwrap_or_default();
    report.notes.push(format!("{pending} runs of the backlog were still pending"));
    report.must(pending > 0, || "the backlog was over too early: the drill shows nothing".to_owned());
    settled(&stack).await;
    let most = "SELECT count(*)::text AS text FROM runs WHERE status <> 'completed'";
    let others = stack.text(most).await;
    report.must(others == "0", || format!("{others} runs did not complete"));
    report
}

async fn create(stack: &Stack, gateway: &Process, account: &Account, text: &str) -> String {
    let body = json!({"appId": account.app, "inputs": {"text": text}});
    let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&account.key);
    let answer = stack.send(request.json(&body)).await;
    answer.body["id"].as_str().expect("the run is accepted").to_owned()
}

/// Waits until the run has started. Returns how long it was pending, and how many runs of other users started
/// meanwhile.
async fn started(stack: &Stack, id: &str) -> (Duration, usize) {
    let sql = format!(
        "SELECT extract(epoch FROM r.started_at - r.created_at) || ' ' || (
             SELECT count(*) FROM runs o
             WHERE o.user_id <> r.user_id AND o.started_at > r.created_at AND o.started_at < r.started_at
         ) AS text
         FROM runs r WHERE r.id = '{id}' AND r.started_at IS NOT NULL"
    );
    let found = eventually("the run starts", async || stack.texts(&sql).await.pop()).await;
    let (waited, overtaken) = found.split_once(' ').expect("two numbers");
    (Duration::from_secs_f64(waited.parse().unwrap_or(1e6)), overtaken.parse().unwrap_or(usize::MAX))
}
