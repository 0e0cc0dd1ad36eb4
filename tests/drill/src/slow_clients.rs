//! K9: a thousand clients that never finish their heads and a thousand that never finish their bodies. The
//! gateway cuts each off in time and serves the others meanwhile.

use std::time::{Duration, Instant};

use e2e::slow::{Cut, slow_bodies, slow_heads, slow_keyless_bodies};
use e2e::{Process, Service, Stack};

use crate::report::Report;
use crate::stage::Stage;

/// Slow clients of each kind.
const CONNECTIONS: usize = 1000;

const HEADS_WITHIN: Duration = Duration::from_secs(8);
const BODIES_WITHIN: Duration = Duration::from_secs(20);
/// The bar of the 99th percentile of the other clients' requests.
const OTHERS_WITHIN: Duration = Duration::from_millis(500);
const BETWEEN: Duration = Duration::from_millis(20);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("K9 slow clients", BODIES_WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let slow = futures_util::future::join3(
        slow_heads(&gateway, CONNECTIONS),
        slow_bodies(&gateway, &stack.key, CONNECTIONS),
        slow_keyless_bodies(&gateway),
    );
    let ((heads, bodies, keyless), mut others) = beside(&stack, &gateway, slow).await;
    report.faults = 2 * CONNECTIONS;
    let slowest = |cuts: &[Cut]| cuts.iter().map(|cut| cut.after).max().unwrap_or_default();
    for (what, took) in [("a slow head", slowest(&heads)), ("a body without a key", slowest(&keyless))] {
        report.must(took < HEADS_WITHIN, || format!("{what} was cut off after {took:?}"));
    }
    report.recoveries.extend(bodies.iter().map(|cut| cut.after));
    others.sort_unstable();
    let p99 = others[others.len() * 99 / 100];
    report.notes.push(format!("{} requests of others, 99th percentile {p99:.1?}", others.len()));
    report.must(p99 < OTHERS_WITHIN, || format!("others wait {p99:?}"));
    report
}

/// Sends requests until `slow` is over; its output, and how long each request took.
async fn beside<T>(stack: &Stack, gateway: &Process, slow: impl Future<Output = T>) -> (T, Vec<Duration>) {
    let mut took = Vec::new();
    tokio::pin!(slow);
    loop {
        let sent = Instant::now();
        assert_eq!(stack.get_once(gateway, "/api/v1/models").await.status, 200, "others are served");
        took.push(sent.elapsed());
        tokio::select! {
            output = &mut slow => return (output, took),
            () = tokio::time::sleep(BETWEEN) => {}
        }
    }
}
