//! R4: a gateway is killed before the commit of a create, after the commit, or after the nudge. Its client
//! gets no answer and repeats the create at another gateway with the same idempotency key. There must be one
//! run, and it must end.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::testing::{TcpProxy, eventually};

use crate::report::Report;
use crate::run_checks::check_runs;
use crate::stage::Stage;

const EACH: usize = 20;
/// The time from the kill until the run is over. A sweeper may have to find the run.
const WITHIN: Duration = Duration::from_secs(15);

#[derive(Clone, Copy)]
enum Moment {
    BeforeCommit,
    AfterCommit,
    AfterNudge,
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("R4 gateways die in a create", WITHIN);
    let stack = stage.stack().await;
    let survivor = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let (proxy, mut behind) = stack.database_proxy().await;
    // With one connection, the first create prepares the statement for the create under test.
    behind.push(("CAPI_DATABASE_POOL_SIZE".to_owned(), "1".to_owned()));
    let mut accepted = HashSet::new();
    for moment in [Moment::BeforeCommit, Moment::AfterCommit, Moment::AfterNudge] {
        for _ in 0..EACH {
            let doomed = Process::start(Service::Gateway, &behind).await;
            let key = uuid::Uuid::now_v7().to_string();
            let prepared = create(&stack, &doomed, &uuid::Uuid::now_v7().to_string()).await;
            accepted.insert(id_of(prepared.expect("it answers")).await);
            let first = create(&stack, &doomed, &key);
            let died = match moment {
                Moment::AfterNudge => after_nudge(first, doomed).await,
                _ => around_commit(&mut report, &stack, &proxy, first, (doomed, moment)).await,
            };
            proxy.mend();
            report.faults += 1;
            let answer = create(&stack, &survivor, &key).await.expect("the survivor answers");
            report.must(answer.status() == 202, || format!("the survivor answered {}", answer.status()));
            let replayed = answer.headers().contains_key("idempotency-replayed");
            let expected = !matches!(moment, Moment::BeforeCommit);
            report.must(replayed == expected, || format!("replayed: {replayed}"));
            let id = id_of(answer).await;
            stack.ended(&survivor, &id).await;
            report.recoveries.push(died.elapsed());
            report.must(accepted.insert(id), || "two keys have one run".to_owned());
        }
    }
    check_runs(&mut report, &stack, &accepted, "completed").await;
    report
}

async fn id_of(answer: reqwest::Response) -> String {
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    body["id"].as_str().unwrap_or_default().to_owned()
}

fn create(
    stack: &Stack,
    gateway: &Process,
    key: &str,
) -> impl Future<Output = reqwest::Result<reqwest::Response>> + Send + 'static {
    let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
    let request = request.header("idempotency-key", key).timeout(Duration::from_secs(20));
    request.json(&json!({"appId": stack.app, "inputs": {"text": "hello"}})).send()
}

async fn after_nudge(
    first: impl Future<Output = reqwest::Result<reqwest::Response>> + Send + 'static,
    doomed: Process,
) -> Instant {
    let answered = tokio::spawn(first);
    // One nudge of the create before, and one of this create.
    eventually("the nudge is sent", async || {
        (doomed.counter("capi_nudges_published_total").await >= 2.0).then_some(())
    })
    .await;
    doomed.kill().await;
    let died = Instant::now();
    let _ = answered.await;
    died
}

async fn count(stack: &Stack, sql: &str) -> String {
    stack.text(&format!("SELECT count(*)::text AS text FROM {sql}")).await
}

/// The statement waits for a lock. The gateway is killed either before the statement gets the lock or while
/// its answer is in flight.
async fn around_commit(
    report: &mut Report,
    stack: &Stack,
    proxy: &TcpProxy,
    first: impl Future<Output = reqwest::Result<reqwest::Response>> + Send + 'static,
    (doomed, moment): (Process, Moment),
) -> Instant {
    let runs = count(stack, "runs").await;
    let lock = stack.meanwhile("LOCK TABLE runs IN SHARE MODE").await;
    let answered = tokio::spawn(first);
    // In a set it waits 200 ms, then alone.
    let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
                   AND query LIKE '%insert_runs_v1%' AND clock_timestamp() > query_start + interval '300 ms'";
    eventually("the create waits", async || (count(stack, waiting).await == "1").then_some(())).await;
    let died = if matches!(moment, Moment::AfterCommit) {
        proxy.freeze();
        drop(lock);
        eventually("the create is committed", async || (count(stack, "runs").await != runs).then_some(()))
            .await;
        doomed.kill().await;
        Instant::now()
    } else {
        doomed.kill().await;
        let died = Instant::now();
        // PostgreSQL checks its client connections every second.
        eventually("PostgreSQL cancels the statement", async || {
            (count(stack, waiting).await == "0").then_some(())
        })
        .await;
        drop(lock);
        let now = count(stack, "runs").await;
        report
            .must(now == runs, || "a create was committed although its gateway was killed before".to_owned());
        died
    };
    let broken = answered.await.is_ok_and(|answer| answer.is_err());
    report.must(broken, || "a killed gateway answered".to_owned());
    died
}
