//! R2: processes are suspended for longer than their leases, and continue. Half of the faults hit a worker
//! that has a write in flight or an answer to read. Another worker holds its run by then, so its write must
//! change nothing. The other half hit a gateway whose cancel waits for a lock. Each write is one statement,
//! so it ends without the gateway, no transaction stays open, and another cancel of the same run succeeds.

use std::time::{Duration, Instant};

use e2e::{Process, Service, Signal, Stack};
use serde_json::json;
use shared::testing::{TcpProxy, eventually};

use crate::report::Report;
use crate::run_checks::settled;
use crate::stage::Stage;

const EACH: usize = 10;
/// Runs that a worker ends before the fault. Then its three connections have prepared their statements, and a
/// write is one packet.
const BEFORE: usize = 6;
const CANCEL_WITHIN: Duration = Duration::from_secs(6);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("R2 SIGSTOP past the lease", CANCEL_WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let (proxy, mut behind) = stack.database_proxy().await;
    behind.push(("CAPI_DATABASE_POOL_SIZE".to_owned(), "3".to_owned()));
    let mut refused = 0;
    for round in 0..EACH {
        let zombie = Process::start(Service::RunWorker, &behind).await;
        refused += usize::from(a_worker(&mut report, &stack, (&gateway, &zombie, &proxy), round).await);
    }
    report
        .notes
        .push(format!("stale workers that changed nothing and released the run: {refused} of {EACH}"));
    let _worker = stack.start(Service::RunWorker).await;
    for _ in 0..EACH {
        let took = inside_a_cancel(&mut report, &stack, &gateway).await;
        report.recoveries.push(took);
    }
    settled(&stack).await;
    report.accepted = EACH * BEFORE + 2 * EACH;
    let over = stack.texts("SELECT id::text AS text FROM runs WHERE completed_at IS NOT NULL").await.len();
    (report.terminal, report.lost) = (over, report.accepted - over);
    let twice = "SELECT run_id::text AS text FROM run_events
                 WHERE type IN ('run.completed', 'run.failed', 'run.cancelled')
                 GROUP BY run_id HAVING count(*) > 1";
    report.doubled = stack.texts(twice).await.len();
    report
}

/// Returns whether the worker released the run and the log holds only the writes of the two attempts.
async fn a_worker(
    report: &mut Report,
    stack: &Stack,
    (gateway, zombie, proxy): (&Process, &Process, &TcpProxy),
    round: usize,
) -> bool {
    for _ in 0..BEFORE {
        let id = stack.create_run(gateway, "hello", None).await;
        stack.ended(gateway, &id).await;
    }
    let asked = stack.model.asked().len();
    let id = stack.create_run(gateway, &format!("HOLD {round}"), None).await;
    eventually("the model is asked", async || (stack.model.asked().len() == asked + 1).then_some(())).await;
    let write_is_under_way = round.is_multiple_of(2);
    if write_is_under_way {
        proxy.freeze();
        stack.model.release_held();
        // The worker reads the answer, but its write does not reach the database.
        eventually("the proxy holds the write", async || proxy.holds("You said: HOLD").then_some(())).await;
    }
    zombie.signal(Signal::STOP);
    report.faults += 1;
    let mut successor = stack.start(Service::RunWorker).await;
    eventually("the successor asks the model", async || {
        (stack.model.asked().len() == asked + 2).then_some(())
    })
    .await;
    let taken = format!("SELECT status || ' ' || attempt AS text FROM runs WHERE id = '{id}'");
    // Now the stale write reaches the database, or the suspended worker can read its answer.
    proxy.mend();
    if !write_is_under_way {
        stack.model.release_held();
        stack.ended(gateway, &id).await;
    }
    zombie.signal(Signal::CONT);
    let released = eventually("the suspended worker releases the run", async || {
        Some(zombie.counter("capi_leases_released_total").await).filter(|count| *count > 0.0)
    })
    .await;
    let expected = if write_is_under_way { "running 2" } else { "completed 2" };
    let found = stack.text(&taken).await;
    report.must(found == expected, || format!("round {round}: {found} where it must be {expected}"));
    stack.model.release_held();
    let run = stack.ended(gateway, &id).await;
    let log = format!(
        "SELECT string_agg(type || ' ' || attempt, ', ' ORDER BY seq) AS text
         FROM run_events WHERE run_id = '{id}'"
    );
    let log = stack.text(&log).await;
    let good = "run.created 0, run.started 1, message 1, run.taken_over 2, message 2, run.completed 2";
    report.must(log == good && run["attempt"] == 2, || format!("round {round}: {log}"));
    report.must(successor.terminate().await, || "the successor did not stop cleanly".to_owned());
    released > 0.0 && log == good
}

async fn waits(stack: &Stack, what: &str, condition: &str) {
    let sql = format!(
        "SELECT count(*)::text AS text FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'capi-gateway' AND {condition}"
    );
    eventually(what, async || (stack.text(&sql).await == "1").then_some(())).await;
}

/// Returns how long the other cancel took.
async fn inside_a_cancel(report: &mut Report, stack: &Stack, gateway: &Process) -> Duration {
    let stopped = stack.start(Service::Gateway).await;
    let holding = stack.model.holding();
    let id = stack.create_run(gateway, "HOLD", None).await;
    eventually("the run waits for the model", async || (stack.model.holding() == holding + 1).then_some(()))
        .await;
    let path = format!("/api/v1/runs/{id}/cancel");
    // The cancel locks the run's row and waits for the table lock.
    let lock = stack.meanwhile("LOCK TABLE run_events IN SHARE MODE").await;
    let request = stack.client().post(format!("{}{path}", stopped.url())).bearer_auth(&stack.key);
    let first = tokio::spawn(request.timeout(Duration::from_secs(20)).send());
    waits(stack, "the cancel waits", "wait_event_type = 'Lock'").await;
    stopped.signal(Signal::STOP);
    report.faults += 1;
    drop(lock);
    let sent = Instant::now();
    let second = stack.post(gateway, &path, &json!({})).await;
    let took = sent.elapsed();
    report.must(second.status == 200, || format!("the second cancel was answered {}", second.status));
    let open = "SELECT count(*)::text AS text FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'capi-gateway'
                    AND state LIKE 'idle in transaction%'";
    let open = stack.text(open).await;
    report.must(open == "0", || format!("{open} transactions stay open"));
    stopped.signal(Signal::CONT);
    // The first cancel may report the cancelled run or a lost connection, and nothing else.
    let first = first.await.ok().and_then(Result::ok).map(|answer| answer.status().as_u16());
    report
        .must(matches!(first, Some(200 | 409 | 503)), || format!("the first cancel was answered {first:?}"));
    let ends = format!(
        "SELECT count(*)::text AS text FROM run_events WHERE run_id = '{id}' AND type = 'run.cancelled'"
    );
    let ends = stack.text(&ends).await;
    report.must(ends == "1", || format!("cancelled {ends} times"));
    eventually("the worker released the run", async || (stack.model.holding() == holding).then_some(()))
        .await;
    took
}
