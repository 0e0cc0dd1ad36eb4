//! An account may send 10,000 requests a minute, and sends them all. The admission of a request must cost as
//! much with 9,000 requests in the window as with few, and the limit stays exact.

use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use futures_util::future::join_all;

use crate::report::Report;
use crate::stage::Stage;

/// As in the plan of the stage.
const LIMIT: usize = 10_000;
/// Requests of each measurement.
const MEASURED: usize = 500;
/// The window has so many requests when the second measurement begins.
const FULL: usize = 9000;
const SENT_MORE: usize = 200;
const AT_ONCE: usize = 8;
const WINDOW: Duration = Duration::from_mins(1);
/// The processor time of an admission in a full window, of one in an empty window.
const MOST: f64 = 1.5;
/// Milliseconds. The processes of PostgreSQL share two processors with the gateway.
const SLACK_MS: f64 = 0.1;

/// Answers to the requests.
#[derive(Default)]
struct Answers {
    admitted: usize,
    refused: usize,
    other: Vec<u16>,
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("9,000 requests in the rate window", WINDOW);
    let stack = stage.stack_of(10).await;
    let gateway = stack.start(Service::Gateway).await;
    let begun = Instant::now();
    let mut answers = Answers::default();
    // The first calls of a connection make its plans.
    send(&stack, &gateway, MEASURED, &mut answers).await;
    let empty = measured(&stack, &gateway, &mut answers).await;
    send(&stack, &gateway, FULL - 2 * MEASURED, &mut answers).await;
    let full = measured(&stack, &gateway, &mut answers).await;
    report
        .notes
        .push(format!("PostgreSQL's CPU of a request: {empty:.2} ms at first, {full:.2} ms after {FULL}"));
    report
        .must(full < empty * MOST + SLACK_MS, || format!("{full:.2} ms in a full window, {empty:.2} before"));
    send(&stack, &gateway, LIMIT - FULL - MEASURED + SENT_MORE, &mut answers).await;
    let took = begun.elapsed();
    report.faults += 1;
    report.recoveries.push(took);
    let Answers { admitted, refused, other } = answers;
    report.notes.push(format!("{admitted} requests admitted and {refused} refused in {took:.1?}"));
    report.must(other.is_empty(), || format!("other answers: {other:?}"));
    report.must(admitted <= LIMIT || took > WINDOW, || format!("{admitted} requests were admitted"));
    report.must(admitted + refused == LIMIT + SENT_MORE, || "some requests have no answer".to_owned());
    // Every second leaves the window as a whole.
    report.must(admitted >= LIMIT - LIMIT / 60, || format!("only {admitted} requests were admitted"));
    report
}

/// Returns PostgreSQL's processor time for each request in milliseconds.
async fn measured(stack: &Stack, gateway: &Process, answers: &mut Answers) -> f64 {
    // The gateway opens connections at its start only, so the server's processes are the same afterwards.
    let before = cpu_ms(stack).await;
    send(stack, gateway, MEASURED, answers).await;
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let requests = MEASURED as f64;
    (cpu_ms(stack).await - before) / requests
}

/// The processor time of the server processes that work for the gateway.
async fn cpu_ms(stack: &Stack) -> f64 {
    let sql = "SELECT pid::text AS text FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'capi-gateway'";
    let time = |pid: String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    };
    stack.texts(sql).await.into_iter().filter_map(time).sum::<f64>() / 1_000_000.0
}

/// Sends so many requests, some at once. They need no other statement than their admission.
async fn send(stack: &Stack, gateway: &Process, requests: usize, answers: &mut Answers) {
    let senders = (0..AT_ONCE).map(async |number| {
        let mut answers = Answers::default();
        for _ in (number..requests).step_by(AT_ONCE) {
            match stack.get_once(gateway, "/api/v1/models").await.status {
                200 => answers.admitted += 1,
                429 => answers.refused += 1,
                status => answers.other.push(status),
            }
        }
        answers
    });
    for part in join_all(senders).await {
        answers.admitted += part.admitted;
        answers.refused += part.refused;
        answers.other.extend(part.other);
    }
}
