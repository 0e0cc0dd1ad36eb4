//! Case 4: commits hang under load, as with a synchronous standby that is away. Each create is answered 503
//! in 3 s, and later ones at once. The processes are not ready, and take no more connections. When commits go
//! on, no run is lost and none is doubled.

use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::testing::eventually;

use crate::load::Load;
use crate::recovery::all_ready;
use crate::report::Report;
use crate::run_checks::check_load;
use crate::stage::Stage;

const HANGS: Duration = Duration::from_secs(30);
const PER_SECOND: u32 = 10;
/// The time from the standby's return until each process is ready.
const WITHIN: Duration = Duration::from_secs(5);
/// A create is given up after 3 s.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(4);
/// While the database is known not to commit.
const REFUSED_WITHIN: Duration = Duration::from_millis(200);
/// The time after which it is known.
const KNOWN_AFTER: Duration = Duration::from_secs(15);
const PROBES: u32 = 20;
/// CAPI_DATABASE_POOL_SIZE of a stack in three services, reports of the gateway and leases of the worker.
const CONNECTIONS: usize = 3 * 6 + 2 + 3;

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("commits hang", WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    let processes = [&gateway, &worker, &dispatcher];
    let load = Load::start(&stack, &[&gateway], PER_SECOND, json!({}), |number| format!("run {number}"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.postgres.hang_commits(true).await;
    report.faults = 1;
    let begun = Instant::now();
    tokio::time::sleep(KNOWN_AFTER).await;
    for process in processes {
        let status = process.ops("/readyz").await.map(|(status, _)| status);
        report.must(status == Some(503), || format!("a process is ready although commits hang: {status:?}"));
    }
    let refused_after = refusals(&mut report, &stack, &gateway).await;
    report.notes.push(format!("refused at once after {refused_after:.1?}"));
    let before = connections(&stack).await;
    tokio::time::sleep(HANGS.saturating_sub(begun.elapsed())).await;
    let after = connections(&stack).await;
    report.notes.push(format!("connections while commits hang: {before}, then {after}"));
    report.must(after <= CONNECTIONS, || format!("{after} connections, more than the pools have"));

    stage.postgres.hang_commits(false).await;
    report.recoveries.push(all_ready(&processes).await);
    eventually("creates are accepted", async || {
        (stack.get_once(&gateway, "/api/v1/models").await.status == 200).then_some(())
    })
    .await;
    let answers = load.stop().await;
    let slowest = answers.slowest_refusal;
    report.must(slowest < GIVEN_UP_WITHIN, || format!("a create was answered 503 after {slowest:?}"));
    check_load(&mut report, &stack, answers, true).await;
    report
}

/// The slowest of some requests, which all must be refused.
async fn refusals(report: &mut Report, stack: &Stack, gateway: &Process) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..PROBES {
        let sent = Instant::now();
        let answer = stack.get_once(gateway, "/api/v1/models").await;
        slowest = slowest.max(sent.elapsed());
        report.must(answer.status == 503, || format!("a request was answered {}", answer.status));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    report.must(slowest < REFUSED_WITHIN, || format!("a refusal took {slowest:?}"));
    slowest
}

/// The server processes of the services.
async fn connections(stack: &Stack) -> usize {
    let sql = "SELECT count(*)::text AS text FROM pg_stat_activity
               WHERE datname = current_database() AND application_name <> 'capi-test'";
    stack.text(sql).await.parse().unwrap_or_default()
}
