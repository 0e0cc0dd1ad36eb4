//! A backlog of 100,000 pending runs must cost almost nothing while no permit is free. The drill measures the
//! same busy workers with and without the backlog.

use std::time::Duration;

use e2e::{Process, Service, Stack};
use shared::queue::WorkQueue;
use shared::testing::eventually;

use crate::report::Report;
use crate::stage::Stage;

const RUNS: usize = 100_000;
const WORKERS: usize = 3;
/// Per worker.
const PERMITS: usize = 4;
/// Six intervals of the sweeper.
const WATCHED: Duration = Duration::from_secs(30);
const SWEEPS: u32 = 6;
/// 10 bytes per run of the backlog.
const MOST_WAL_KB: f64 = 1000.0;

/// Resources used, as counters or in a period.
struct Use {
    transactions: f64,
    rows_written: f64,
    wal_kb: f64,
    published: f64,
}

async fn now(stack: &Stack, workers: &[Process]) -> Use {
    let sql = "SELECT (xact_commit + xact_rollback)::text AS text FROM pg_stat_database
               WHERE datname = current_database()";
    let transactions = stack.text(sql).await.parse().unwrap_or_default();
    let sql = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::text AS text FROM pg_stat_user_tables";
    let rows_written = stack.text(sql).await.parse().unwrap_or_default();
    let wal = stack.text("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::text AS text").await;
    let mut published = 0.0;
    for worker in workers {
        published += worker.counter("capi_nudges_published_total").await;
    }
    Use { transactions, rows_written, wal_kb: wal.parse::<f64>().unwrap_or_default() / 1024.0, published }
}

async fn watch(stack: &Stack, workers: &[Process]) -> Use {
    // Otherwise autovacuum or a checkpoint could fall into the measured period.
    stack.database.run_sql("VACUUM ANALYZE").await;
    stack.database.run_sql("CHECKPOINT").await;
    let before = now(stack, workers).await;
    tokio::time::sleep(WATCHED).await;
    let after = now(stack, workers).await;
    Use {
        transactions: after.transactions - before.transactions,
        rows_written: after.rows_written - before.rows_written,
        wal_kb: after.wal_kb - before.wal_kb,
        published: after.published - before.published,
    }
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("backlog of 100,000 pending runs", Duration::from_secs(1));
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(
            stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", &PERMITS.to_string()).await,
        );
    }
    for _ in 0..WORKERS * PERMITS {
        stack.create_run(&gateway, "HOLD", None).await;
    }
    eventually("all permits are taken", async || (stack.model.holding() == WORKERS * PERMITS).then_some(()))
        .await;
    let without = watch(&stack, &workers).await;
    stack.backlog(RUNS, "hello").await;
    eventually("the user is nudged", async || (stack.queues.ready(WorkQueue::Runs).await >= 1).then_some(()))
        .await;
    let with = watch(&stack, &workers).await;
    let ready = stack.queues.ready(WorkQueue::Runs).await;
    for (what, used) in [("without", &without), ("with", &with)] {
        report.notes.push(format!(
            "{what} the backlog, {WORKERS} workers, {WATCHED:?}: {:.0} transactions, {:.0} rows written, \
             {:.0} kB of WAL, {:.0} messages",
            used.transactions, used.rows_written, used.wal_kb, used.published
        ));
    }
    report.notes.push(format!("messages ready in the queue: {ready}"));
    // Each sweep of each worker sends one message for the user, and one sweep may fall into the period more.
    let most = f64::from((SWEEPS + 1) * u32::try_from(WORKERS).unwrap_or(u32::MAX));
    report.must(with.published <= most, || format!("{} more messages were sent", with.published));
    report
        .must(with.transactions < without.transactions * 1.25 + 10.0, || "too many transactions".to_owned());
    report
        .must(with.rows_written < without.rows_written * 1.25 + 10.0, || "too many rows written".to_owned());
    // Renewals write more WAL on fuller pages. Writing to the backlog would cost megabytes.
    report.must(with.wal_kb < MOST_WAL_KB, || "too much WAL".to_owned());
    report
}
