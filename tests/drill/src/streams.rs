//! Streams of events are cut at random. Each client connects again, to any gateway, and names its last event.
//! In the end each client has exactly the log that is stored.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::events::{EventReader, log_of};
use e2e::{Account, Process, Service, Stack};
use futures_util::future::join_all;
use serde_json::json;
use shared::testing::eventually;

use crate::report::Report;
use crate::stage::Stage;

/// Clients of one account: some fewer than its 20 places, because the place of a cut stream is free only when
/// the gateway has noticed the cut.
const PER_ACCOUNT: usize = 15;
const CLIENTS: usize = 500;
/// The longest time until a stream is cut. On average it is half of this.
const CUT_WITHIN_MS: u64 = 4000;
const SHORT: Duration = Duration::from_secs(30);
const FULL: Duration = Duration::from_mins(5);
/// The bar for a client that connects again.
const AGAIN_WITHIN: Duration = Duration::from_secs(10);
/// Time for the last events after the runs are cancelled.
const DRAIN: Duration = Duration::from_mins(1);
/// Its limits allow more steps than fit into the longest drill.
const APP: &str = r#"
name = "Clock"
prompt = "{{ text }}"
tools = ["current_time"]
[limits]
steps = 1000
tool_calls = 2000
seconds = 3600
tokens = 100000000
[[inputs]]
name = "text"
type = "text"
"#;

/// What one client saw.
#[derive(Default)]
struct Seen {
    log: Vec<(i64, String)>,
    cuts: usize,
    again: Vec<Duration>,
    /// Refusals by status; 0 for a connection that broke.
    refused: BTreeMap<u16, usize>,
    /// It got the last event before its deadline.
    ended: bool,
}

pub(crate) async fn drill(stage: &Stage, full: bool) -> Report {
    let mut report = Report::new("streams cut at random", AGAIN_WITHIN);
    let stack = stage.stack().await;
    let gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let _worker = stack.start(Service::RunWorker).await;
    let accounts = CLIENTS.div_ceil(PER_ACCOUNT);
    let runs = join_all((0..accounts).map(|number| start_run(&stack, &gateways[0], number))).await;
    let lasts = if full { FULL } else { SHORT };
    let deadline = Instant::now() + lasts + DRAIN;
    let clients = (0..CLIENTS).map(|number| {
        let (account, run) = &runs[number % runs.len()];
        follow(&stack, &gateways, account, run, deadline)
    });
    let cancelled = async {
        tokio::time::sleep(lasts).await;
        for (account, run) in &runs {
            let url = format!("{}/api/v1/runs/{run}/cancel", gateways[0].url());
            // A busy gateway may refuse at first.
            eventually("a run is cancelled", async || {
                let answer = stack.send(stack.client().post(&url).bearer_auth(&account.key)).await;
                (answer.status == 200).then_some(())
            })
            .await;
        }
    };
    let (seen, ()) = tokio::join!(join_all(clients), cancelled);
    let mut events = 0;
    for (number, seen) in seen.iter().enumerate() {
        let run = &runs[number % runs.len()].1;
        let stored = stack.stored_log(run).await;
        events += stored.len();
        report.must(seen.ended, || format!("client {number} did not get the end of run {run}"));
        report.must(seen.log == stored, || {
            format!("client {number} has {} events of {} of run {run}", seen.log.len(), stored.len())
        });
    }
    report.accepted = runs.len();
    report.terminal = runs.len();
    report.faults = seen.iter().map(|seen| seen.cuts).sum();
    report.recoveries = seen.iter().flat_map(|seen| seen.again.clone()).collect();
    let mut refused = BTreeMap::<u16, usize>::new();
    for (status, times) in seen.iter().flat_map(|seen| &seen.refused) {
        *refused.entry(*status).or_default() += times;
    }
    report.notes.push(format!("{CLIENTS} clients got {events} events; refusals by status: {refused:?}"));
    report.must(events > CLIENTS * 20, || format!("only {events} events: the drill shows little"));
    report
}

/// Starts a run that takes a step every two seconds until it is cancelled.
async fn start_run(stack: &Stack, gateway: &Process, number: usize) -> (Account, String) {
    let email = format!("reader{number}@example.com");
    let account = stack.account(&email, "big").await;
    let app = stack.import_of(&email, APP).await;
    let script = json!([{"wait": 2000, "say": "tick", "call": [["current_time", "{}"]]}]);
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let url = format!("{}/api/v1/runs", gateway.url());
    let created = stack.send(stack.client().post(url).bearer_auth(&account.key).json(&body)).await;
    let id = created.body["id"].as_str().expect("an id").to_owned();
    (account, id)
}

async fn follow(
    stack: &Stack,
    gateways: &[Process],
    account: &Account,
    run: &str,
    deadline: Instant,
) -> Seen {
    const AFTER_REFUSAL: Duration = Duration::from_millis(500);
    let mut seen = Seen::default();
    let mut cut_at = None;
    while Instant::now() < deadline {
        let gateway = &gateways[rand::random_range(0..gateways.len())];
        let url = format!("{}/api/v1/runs/{run}/events", gateway.url());
        let mut request = stack.client().get(url).bearer_auth(&account.key);
        if let Some((last, _)) = seen.log.last() {
            request = request.header("last-event-id", *last);
        }
        let mut stream = match EventReader::try_open(request).await {
            Ok(stream) => stream,
            Err(status) => {
                *seen.refused.entry(status).or_default() += 1;
                tokio::time::sleep(AFTER_REFUSAL).await;
                continue;
            }
        };
        seen.again.extend(cut_at.map(|at: Instant| at.elapsed()));
        let until = Duration::from_millis(rand::random_range(0..CUT_WITHIN_MS));
        let reading = async {
            while let Some(message) = stream.next().await {
                seen.log.extend(log_of(&[message]));
            }
        };
        let _ = tokio::time::timeout(until, reading).await;
        if seen.log.last().is_some_and(|(_, kind)| kind == "run.cancelled") {
            seen.ended = true;
            break;
        }
        drop(stream);
        (seen.cuts, cut_at) = (seen.cuts + 1, Some(Instant::now()));
    }
    seen
}
