//! Case 5: a transaction stays open while thousands of runs are executed and their webhooks sent. A run must
//! not cost much more, its webhook must not be late, and the gateway's metrics must show the transaction.

use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use shared::testing::{WebhookReceiver, eventually};

use crate::report::Report;
use crate::stage::Stage;

/// Runs of a batch. Each batch is created at once and then executed.
const BATCH: u32 = 500;
const BATCHES: u32 = 8;
/// How many times as many pages a run of the last batch may read as one of the first batch.
const DEARER: f64 = 3.0;
/// An idle connection keeps its counters to itself for 10 s.
const COUNTERS_ARE_OLD: Duration = Duration::from_secs(11);
/// From the end of a batch's runs to the last of its webhooks.
const SENT_WITHIN: Duration = Duration::from_secs(5);
/// Transactions since the oldest one: far fewer than there are.
const MANY: f64 = 500.0;
/// The gateway looks every 30 s.
const REPORTED_WITHIN: Duration = Duration::from_mins(1);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("a transaction stays open", REPORTED_WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "64").await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::start([]).await;
    // Fills the caches of the sessions.
    batch(&mut report, &stack, (&worker, &receiver)).await;
    stack.without_autovacuum().await;
    let open = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM runs";
    let open = stack.meanwhile(open).await;
    report.faults = 1;
    let (mut costs, mut before) = (Vec::new(), pages(&stack).await);
    for _ in 0..BATCHES {
        batch(&mut report, &stack, (&worker, &receiver)).await;
        let after = pages(&stack).await;
        costs.push((after - before) / f64::from(BATCH));
        before = after;
    }
    let (first, last) = (costs[0], costs[costs.len() - 1]);
    report.notes.push(format!(
        "a run reads {first:.0} pages when the transaction begins, and {last:.0} after {} more runs",
        BATCH * (BATCHES - 1)
    ));
    report.must(last < first * DEARER, || format!("runs read {:.1} times as many pages", last / first));

    let begun = Instant::now();
    eventually("the metrics show the transaction", async || {
        let (_, metrics) = gateway.ops("/metrics").await?;
        let line =
            metrics.lines().find(|line| line.starts_with("capi_database_transactions_since_oldest "))?;
        let count: f64 = line.rsplit_once(' ')?.1.parse().ok()?;
        (count > MANY).then_some(())
    })
    .await;
    report.recoveries.push(begun.elapsed());
    drop(open);
    report
}

/// The pages that all sessions have read.
async fn pages(stack: &Stack) -> f64 {
    let sql = "SELECT sum(blks_hit + blks_read)::text AS text FROM pg_stat_database
               WHERE datname = current_database()";
    tokio::time::sleep(COUNTERS_ARE_OLD).await;
    stack.text(sql).await.parse().expect("PostgreSQL counts pages")
}

/// Executes some runs and waits for their webhooks.
async fn batch(report: &mut Report, stack: &Stack, (worker, receiver): (&Process, &WebhookReceiver)) {
    let (ended, sent) = (runs_ended(worker).await + f64::from(BATCH), receiver.count() + BATCH as usize);
    stack.backlog_to(BATCH as usize, "hello", Some(&receiver.url())).await;
    eventually("the runs are over", async || (runs_ended(worker).await >= ended).then_some(())).await;
    let over = Instant::now();
    eventually("the webhooks arrive", async || (receiver.count() >= sent).then_some(())).await;
    let took = over.elapsed();
    report.must(took < SENT_WITHIN, || format!("webhooks arrived {took:.1?} after their runs"));
}

/// Not from the database: counting there would read more pages than the runs.
async fn runs_ended(worker: &Process) -> f64 {
    let (_, metrics) = worker.ops("/metrics").await.expect("the worker answers");
    let lines = metrics.lines().filter(|line| line.starts_with("capi_runs_ended_total"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
