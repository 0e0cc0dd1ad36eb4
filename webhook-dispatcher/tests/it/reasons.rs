//! Each way in which a receiver fails has its own true reason.

use std::time::Duration;

use shared::testing::{Ending, Issuer, RawServer, TlsServer};
use tokio::net::TcpListener;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_is_named() {
    let fixture = Fixture::create().await;
    let _dispatcher = fixture.start_with(|config| config.total_timeout = Duration::from_secs(7)).await;
    let raw = async |piece: &'static [u8]| RawServer::start(vec![piece], Duration::ZERO).await;
    let (plain, other) = (raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, raw(b"SSH-2.0-x\r\n").await);
    let silent = RawServer::ending(vec![], Duration::ZERO, Ending::Hold).await;
    let (empty, resets) = (RawServer::start(vec![], Duration::ZERO).await, RawServer::resetting().await);
    let tall = raw(format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(100_000)).leak().as_bytes()).await;
    let (signed, own) = (TlsServer::start(Issuer::Authority).await, TlsServer::start(Issuer::Itself).await);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cases = [
        (format!("http://{closed}/"), "refused the connection"),
        ("http://no-such-host.invalid/".to_owned(), "cannot be resolved"),
        (plain.url("https"), "TLS handshake with the host failed"),
        (silent.url("https"), "TLS handshake with the host did not end in time"),
        (empty.url("https"), "TLS handshake with the host failed"),
        (own.url("https", "localhost"), "self-signed"),
        (signed.url("https", "localhost"), "unknown certificate authority"),
        (own.url("http", "127.0.0.1"), "did not answer with valid HTTP"),
        (other.url("http"), "did not answer with valid HTTP"),
        (tall.url("http"), "headers of the host's answer are too long"),
        (silent.url("http"), "did not send its whole answer in time"),
        (empty.url("http"), "closed the connection before the end"),
        (resets.url("http"), "reset the connection before the end"),
    ];
    let mut runs = Vec::new();
    for (url, expected) in cases {
        runs.push((fixture.deliver_to(&url).await.0, url, expected));
    }
    for (run, url, expected) in runs {
        let attempts = fixture.attempts_when(run, "retrying").await;
        assert!(attempts[0].error.contains(expected), "{url}: {attempts:?}");
        assert_eq!(attempts[0].status_code, None, "{url}");
    }
}
