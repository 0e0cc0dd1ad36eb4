//! The status of an answer decides at once. Its body is read briefly and changes nothing.

use std::time::{Duration, Instant};

use shared::testing::{Ending, RawServer};

use crate::fixture::Fixture;

/// Shorter than an answer that is waited for to its end.
const BRIEF: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_length_on_an_open_connection_is_a_success() {
    let fixture = Fixture::create().await;
    let _dispatcher = fixture.start().await;
    let answer = vec![b"HTTP/1.1 200 OK\r\n\r\nthanks".as_slice()];
    let receiver = RawServer::ending(answer, Duration::ZERO, Ending::Hold).await;
    let mut runs = Vec::new();
    for _ in 0..12 {
        runs.push(fixture.deliver_to(&receiver.url("http")).await.0);
    }
    for run in runs {
        let attempts = fixture.attempts_when(run, "delivered").await;
        let first = &attempts[0];
        assert_eq!((attempts.len(), first.status_code, &*first.response_body), (1, Some(200), "thanks"));
    }
    assert_eq!(receiver.connections(), 12, "none is sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_drip_or_never_end_change_nothing() {
    let fixture = Fixture::create().await;
    let _dispatcher = fixture.start().await;
    let (pause, forever) = (Duration::from_millis(20), Ending::Repeat);
    let mut drips = vec![b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".as_slice()];
    drips.extend([b"x".as_slice(); 1000]);
    let flood: &[u8] = b"x".repeat(65_536).leak();
    let started = Instant::now();
    for (pieces, status, ending) in [
        (drips, "delivered", Ending::Close),
        (vec![b"HTTP/1.1 201 Created\r\ncontent-length: 1000000000\r\n\r\n", flood], "delivered", forever),
        (vec![b"HTTP/1.1 200 OK\r\n\r\n", flood], "delivered", forever),
        (vec![b"HTTP/1.1 503 Busy\r\n\r\n", flood], "retrying", forever),
        (vec![b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbreaks"], "delivered", Ending::Close),
        (vec![b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno chunk"], "delivered", Ending::Close),
        (
            vec![b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"],
            "delivered",
            Ending::Hold,
        ),
        (vec![b"HTTP/1.0 200 OK\r\n\r\n"], "delivered", Ending::Close),
    ] {
        let shown = String::from_utf8_lossy(pieces[0]).into_owned();
        let receiver = RawServer::ending(pieces, pause, ending).await;
        let (run, _) = fixture.deliver_to(&receiver.url("http")).await;
        let attempts = fixture.attempts_when(run, status).await;
        assert_eq!((attempts.len(), receiver.connections()), (1, 1), "{shown}");
        assert!(attempts[0].response_body.len() <= 1024, "{shown}");
    }
    assert!(started.elapsed() < BRIEF, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_ends_at_the_total_timeout() {
    const TOTAL: Duration = Duration::from_secs(2);
    let fixture = Fixture::create().await;
    let _dispatcher = fixture.start_with(|config| config.total_timeout = TOTAL).await;
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\n".as_slice()];
    pieces.extend([b"x: y\r\n".as_slice(); 1000]);
    let receiver = RawServer::start(pieces, Duration::from_millis(100)).await;
    let (run, _) = fixture.deliver_to(&receiver.url("http")).await;
    let attempts = fixture.attempts_when(run, "retrying").await;
    assert_eq!(attempts[0].status_code, None);
    assert!(attempts[0].error.contains("whole answer in time"), "{attempts:?}");
    assert!(u128::try_from(attempts[0].duration_ms).unwrap() >= TOTAL.as_millis(), "{attempts:?}");
}
