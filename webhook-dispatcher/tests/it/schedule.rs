//! The schedule under a clock that the test sets.

use std::time::Duration;

use shared::ids::RunId;
use shared::testing::{Ending, RawServer, WebhookReceiver, eventually};

use crate::fixture::Fixture;

const DAY: f64 = 86_400.0;
/// Seconds between one attempt and the next, before jitter.
const PLANNED: [f64; 9] = [5.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 43_200.0, DAY, DAY];
/// The clock goes on while the test works.
const SLACK: f64 = 20.0;

/// Seconds from the end of attempt `number` to the next one. `None` if the delivery is over.
async fn wait_after(fixture: &Fixture, run: RunId, number: usize) -> Option<f64> {
    let sql = format!(
        "SELECT coalesce((SELECT d.status || ' ' || coalesce(extract(epoch FROM d.next_attempt_at - a.at), 0)
                          FROM webhook_deliveries d JOIN webhook_attempts a ON a.delivery_id = d.id
                          WHERE d.run_id = '{run}' AND a.number = {number}), '') AS text"
    );
    let found = eventually("the attempt is recorded", async || {
        Some(fixture.text(sql.clone()).await).filter(|text| !text.is_empty())
    });
    let text = found.await;
    let (status, seconds) = text.split_once(' ').unwrap();
    (status == "retrying").then(|| seconds.parse().unwrap())
}

/// The waits after all attempts of a delivery to `url`, each skipped by the clock.
async fn waits(fixture: &Fixture, url: &str) -> Vec<f64> {
    let (run, _) = fixture.deliver_to(url).await;
    let (mut waits, mut ahead) = (Vec::new(), 0.0);
    while let Some(wait) = wait_after(fixture, run, waits.len() + 1).await {
        waits.push(wait);
        ahead += wait;
        fixture.let_pass(Duration::from_secs_f64(ahead)).await;
    }
    assert_eq!(fixture.status(run).await, "failed");
    waits
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_attempts_over_three_days() {
    let fixture = Fixture::create().await;
    let _dispatcher = fixture.start().await;
    let receiver = WebhookReceiver::start([500; 10]).await;
    let waits = waits(&fixture, &receiver.url()).await;
    assert_eq!((waits.len(), receiver.received().len()), (PLANNED.len(), 10));
    let (mut total, mut exact) = (0.0, 0);
    for (wait, planned) in waits.iter().zip(PLANNED) {
        let bound = 3.0 * DAY - total;
        assert!(*wait >= (planned * 0.8).min(bound) - SLACK, "{waits:?}");
        assert!(*wait <= planned * 1.2 + SLACK, "{waits:?}");
        exact += usize::from((wait - planned).abs() < 0.01);
        total += wait;
    }
    assert!(total <= 3.0 * DAY + SLACK, "{waits:?}");
    assert!(exact < PLANNED.len(), "there is jitter: {waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_may_ask_for_a_day_at_most_and_never_for_more_than_three() {
    const GREEDY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 999999999\r\nconnection: close\r\n\
                          content-length: 0\r\n\r\n";
    let fixture = Fixture::create().await;
    let _dispatcher = fixture.start().await;
    let asks = async |head: &'static str| {
        RawServer::ending(vec![head.as_bytes()], Duration::ZERO, Ending::Hold).await
    };
    let greedy = asks(GREEDY).await;
    let waits = waits(&fixture, &greedy.url("http")).await;
    assert_eq!((waits.len(), greedy.connections()), (3, 4), "{waits:?}");
    for wait in &waits[..2] {
        assert!((wait - DAY).abs() < SLACK, "{waits:?}");
    }
    assert!(waits.iter().sum::<f64>() <= 3.0 * DAY + SLACK, "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_to_retry_after_counts_and_nonsense_does_not() {
    let fixture = Fixture::create().await;
    let _dispatcher = fixture.start().await;
    for (value, least, most) in [
        ("600", 600.0, 600.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY, DAY),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 4.0, 6.0),
        ("soon", 4.0, 6.0),
    ] {
        let head = format!("HTTP/1.1 429 Slow\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n").leak();
        let receiver = RawServer::start(vec![head.as_bytes()], Duration::ZERO).await;
        let (run, _) = fixture.deliver_to(&receiver.url("http")).await;
        let wait = wait_after(&fixture, run, 1).await.unwrap();
        assert!(wait >= least && wait <= most + SLACK, "{value}: {wait}");
    }
}
