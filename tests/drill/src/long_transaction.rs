//! Case 5: a transaction stays open while thousands of runs are executed. A run must not cost much more, and
//! the gateway's metrics must show the transaction.

use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use shared::testing::eventually;

use crate::report::Report;
use crate::stage::Stage;

/// Runs of a batch. Each batch is created at once and then executed.
const BATCH: usize = 500;
const BATCH_SIZE: f64 = 500.0;
const BATCHES: usize = 8;
/// How many times as many pages a run of the last batch may read as one of the first batch.
const DEARER: f64 = 3.0;
/// Sessions report what they read after a second.
const REPORTED_AFTER: Duration = Duration::from_secs(2);
/// Transactions since the oldest one: far fewer than there are.
const MANY: f64 = 500.0;
/// The gateway looks every 30 s.
const REPORTED_WITHIN: Duration = Duration::from_mins(1);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("a transaction stays open", REPORTED_WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "64").await;
    // Fills the caches of the sessions.
    pages_of_a_batch(&stack, &worker).await;
    let open = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM runs";
    let open = stack.meanwhile(open).await;
    report.faults = 1;
    let mut pages = Vec::new();
    for _ in 0..BATCHES {
        pages.push(pages_of_a_batch(&stack, &worker).await / BATCH_SIZE);
    }
    let (first, last) = (pages[0], pages[BATCHES - 1]);
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

/// Executes some runs. Returns the pages that all sessions read meanwhile.
async fn pages_of_a_batch(stack: &Stack, worker: &Process) -> f64 {
    let sql = "SELECT sum(blks_hit + blks_read)::text AS text FROM pg_stat_database
               WHERE datname = current_database()";
    let read = async || {
        tokio::time::sleep(REPORTED_AFTER).await;
        stack.text(sql).await.parse().unwrap_or(0.0)
    };
    let before: f64 = read().await;
    let ended = runs_ended(worker).await;
    stack.backlog(BATCH, "hello").await;
    eventually("the runs are over", async || (runs_ended(worker).await >= ended + BATCH_SIZE).then_some(()))
        .await;
    read().await - before
}

/// Not from the database: counting there would read more pages than the runs.
async fn runs_ended(worker: &Process) -> f64 {
    let (_, metrics) = worker.ops("/metrics").await.expect("the worker answers");
    let lines = metrics.lines().filter(|line| line.starts_with("capi_runs_ended_total"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
