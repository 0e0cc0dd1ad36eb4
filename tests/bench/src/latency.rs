//! The time from a create to the request at the model's server, one run at a time on an idle system.

use std::time::Instant;

use e2e::{Process, Service, Stack};
use shared::testing::eventually;

use crate::{hops, line, median};

const CALLS: &str = "capi_database_calls_total";

/// The number of creates whose database calls are counted.
const COUNTED: u32 = 20;

pub(crate) async fn measure(stack: &Stack, runs: u32) -> anyhow::Result<()> {
    let raw = hops::measure(stack).await?;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let (mut samples, before) = (Vec::new(), stack.model.asked().len());
    for number in 0..runs as usize {
        let sent = Instant::now();
        let id = stack.create_run_once(&gateway, "hello").await;
        let asked = eventually("the model gets the request", async || {
            stack.model.asked().get(before + number).map(|(at, _)| *at)
        })
        .await;
        samples.push(asked.duration_since(sent).as_secs_f64());
        stack.ended(&gateway, &id).await;
    }
    // The first runs open connections and prepare statements.
    let warm = samples.split_off(samples.len() / 10);
    let took = median(&warm);
    line("request to model asked, idle", &format!("{} runs", warm.len()), warm);
    let over = format!("{:.2} ms, {:+.2} ms", raw * 1000.0, (took - raw) * 1000.0);
    line("its raw hops, and the time above (P2: ≤ 1 ms)", &over, vec![]);
    count_calls(stack, &gateway, &worker).await;
    Ok(())
}

/// Counts the database calls of the gateway and the worker until the model gets the request.
async fn count_calls(stack: &Stack, gateway: &Process, worker: &Process) {
    let before = (gateway.counter(CALLS).await, worker.counter(CALLS).await);
    let already = stack.model.asked().len();
    for _ in 0..COUNTED {
        stack.create_run_once(gateway, "hello").await;
    }
    let expected = already + COUNTED as usize;
    eventually("the model gets all requests", async || (stack.model.asked().len() == expected).then_some(()))
        .await;
    let per_run = |calls: f64| format!("{:.2}", calls / f64::from(COUNTED));
    line("database calls per create, gateway", &per_run(gateway.counter(CALLS).await - before.0), vec![]);
    line("database calls per run, worker", &per_run(worker.counter(CALLS).await - before.1), vec![]);
}
