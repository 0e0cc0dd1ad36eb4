//! The database fails over to an asynchronous standby, which lost transactions. A worker that took its runs
//! in one of them is suspended meanwhile. Another worker starts the same runs, with the same attempt. The
//! first worker's writes must change nothing. A webhook that is sent again keeps its id.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use e2e::{PrivatePostgres, Process, Service, Stack};
use shared::testing::{TestDatabase, TestQueues, WebhookReceiver, eventually};

use crate::family;
use crate::places::check_places;
use crate::report::Report;
use crate::run_checks::{check_runs, settled};
use crate::stage::Stage;

const ROUNDS: usize = 4;
/// Runs that the first worker ends before the failover, each round.
const ENDED: usize = 5;
/// The first worker's leases outlast the failover, so that it believes that it holds its run.
const LEASE_SECONDS: &str = "30";
/// From the crash to the start of the runs by another worker. It contains the promotion and a sweep.
const WITHIN: Duration = Duration::from_secs(20);
/// A renewal is due every third of a lease.
const RENEWED_WITHIN: Duration = Duration::from_secs(15);

/// Two successes of a webhook are normal after a failover. They must have one id.
type Ids = HashMap<String, HashSet<String>>;

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("failover that loses transactions", WITHIN);
    let mut primary = PrivatePostgres::start().await;
    let database = TestDatabase::create_at(primary.url.clone()).await;
    let queues = TestQueues::create_at(stage.broker.url.clone());
    let mut stack = Stack::unlimited_over(database, queues).await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", LEASE_SECONDS);
    let receiver = WebhookReceiver::start([]).await;
    let gateway = stack.start(Service::Gateway).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let mut accepted = HashSet::new();
    for number in 0..ROUNDS {
        accepted.extend(round(&mut report, (&stack, &mut primary), (&gateway, &receiver), number).await);
    }
    settled(&stack).await;
    check_runs(&mut report, &stack, &accepted, "completed").await;
    check_places(&mut report, &stack).await;
    let all = async || (ids(&receiver).len() == accepted.len()).then_some(());
    eventually("all webhooks arrive", all).await;
    let ids = ids(&receiver);
    report.must(ids.values().all(|ids| ids.len() == 1), || format!("webhook ids by run: {ids:?}"));
    let again = receiver.count() - ids.len();
    report.notes.push(format!("{again} webhooks were sent again, with their ids"));
    report.must(again >= ROUNDS * ENDED, || format!("only {again} webhooks were sent again"));
    report
}

/// The ids under which the end of each run was sent.
fn ids(receiver: &WebhookReceiver) -> Ids {
    let mut ids = Ids::new();
    for request in receiver.received() {
        let run = request.json()["data"]["id"].as_str().unwrap_or_default().to_owned();
        ids.entry(run).or_default().insert(request.headers["webhook-id"].clone());
    }
    ids
}

/// Returns the runs of the round.
async fn round(
    report: &mut Report,
    (stack, primary): (&Stack, &mut PrivatePostgres),
    (gateway, receiver): (&Process, &WebhookReceiver),
    number: usize,
) -> Vec<String> {
    let hook = receiver.url();
    let held = stack.create_run(gateway, &format!("HOLD {number}"), Some(&hook)).await;
    let mut runs = vec![held.clone()];
    for _ in 0..ENDED {
        runs.push(stack.create_run(gateway, "hello", Some(&hook)).await);
    }
    let standby = primary.standby().await;
    standby.catches_up_with(primary).await;
    standby.loses_contact_with(primary).await;
    let first = stack.start(Service::RunWorker).await;
    eventually("the model holds the first run", async || (stack.model.holding() == 1).then_some(())).await;
    eventually("the others are delivered", async || {
        let sent = ids(receiver);
        runs.iter().filter(|run| **run != held).all(|run| sent.contains_key(run)).then_some(())
    })
    .await;
    family::signal(&first, "STOP");
    let writes_at_once = number.is_multiple_of(2);
    if writes_at_once {
        // The suspended worker finds the answer when it continues.
        stack.model.release_held();
    }
    let crashed = Instant::now();
    standby.replaces(primary).await;
    report.faults += 1;
    let second = stack.start(Service::RunWorker).await;
    let id = eventually("the worker logs its name", async || second.worker_id()).await;
    let of_second = format!("{id} 1");
    let holder = format!("SELECT concat_ws(' ', lease_owner, attempt) AS text FROM runs WHERE id = '{held}'");
    eventually("another worker has the run", async || (stack.text(&holder).await == of_second).then_some(()))
        .await;
    report.recoveries.push(crashed.elapsed());
    family::signal(&first, "CONT");
    refused(report, stack, &first, number).await;
    let now = stack.text(&holder).await;
    report.must(now == of_second, || format!("round {number}: held by {now}, not by {of_second}"));
    stack.model.release_held();
    settled(stack).await;
    let log = format!(
        "SELECT string_agg(type || coalesce(' ' || (data ->> 'worker'), ''), ', ' ORDER BY seq) AS text
         FROM run_events WHERE run_id = '{held}'"
    );
    let (log, good) =
        (stack.text(&log).await, format!("run.created, run.started {id}, message, message, run.completed"));
    report.must(log == good, || format!("round {number}: {log}, not {good}"));
    first.kill().await;
    runs
}

/// Waits until the worker that continues has noticed that it lost its run.
async fn refused(report: &mut Report, stack: &Stack, first: &Process, number: usize) {
    let begun = Instant::now();
    let noticed = async || (first.counter("capi_leases_released_total").await > 0.0).then_some(());
    eventually("the first worker drops the run", noticed).await;
    let took = begun.elapsed();
    report.must(took < RENEWED_WITHIN, || format!("round {number}: it dropped the run after {took:.1?}"));
    let ends = "SELECT run_id::text AS text FROM run_events
                WHERE type IN ('run.completed', 'run.failed', 'run.cancelled')
                GROUP BY run_id HAVING count(*) > 1";
    let twice = stack.texts(ends).await;
    report.must(twice.is_empty(), || format!("round {number}: ended twice: {twice:?}"));
}
