//! Each way in which a request fails has its reason.

use std::sync::Arc;
use std::time::Duration;

use public_client::{BodyEnd, Limits, PublicClient, Surroundings};
use shared::net::failure::{CertificateFault, RequestFailure};
use shared::net::ip_policy::IpPolicy;
use shared::testing::{Issuer, RawServer, TlsServer};
use tokio::net::TcpListener;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::time_provider::TimeProvider;

use crate::{LIMITS, client, get};

async fn failure(url: &str) -> RequestFailure {
    failure_within(url, LIMITS).await
}

async fn failure_within(url: &str, limits: Limits) -> RequestFailure {
    match get(&client(limits), url).await {
        Ok(response) => panic!("{url} answers {}", response.status()),
        Err(failure) => failure,
    }
}

#[tokio::test]
async fn names_that_do_not_exist_and_bad_urls() {
    assert_eq!(failure("http://no-such-host.invalid/").await, RequestFailure::DnsFailed);
    assert_eq!(failure("ftp://e.com/").await.to_string(), "The URL must begin with https:// or http://.");
    assert_eq!(failure("ftp://e.com/").await.code(), "invalid_url");
}

#[tokio::test]
async fn connections_that_cannot_be_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nothing accepts the connection, so the TLS handshake never begins.
    let limits = Limits { connect: Duration::from_millis(200), ..LIMITS };
    let failed = failure_within(&format!("https://{address}/"), limits).await;
    assert_eq!((failed.code(), failed), ("tls_timeout", RequestFailure::TlsTimeout));
    drop(listener);
    assert_eq!(failure(&format!("http://{address}/")).await, RequestFailure::ConnectRefused);
}

#[tokio::test]
async fn tls_that_fails() {
    let speaks_no_tls = RawServer::start(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n"], Duration::ZERO).await;
    assert_eq!(failure(&speaks_no_tls.url("https")).await, RequestFailure::TlsFailed);
    let hangs_up = RawServer::start(vec![], Duration::ZERO).await;
    assert_eq!(failure(&hangs_up.url("https")).await, RequestFailure::TlsFailed);
    let speaks_tls = TlsServer::start(Issuer::Itself).await;
    let failed = failure(&speaks_tls.url("http", "127.0.0.1")).await;
    assert_eq!(failed, RequestFailure::InvalidResponse, "http to a port of https");
}

#[tokio::test]
async fn certificates_that_are_refused() {
    let fault = async |client: &PublicClient, url: &str| match get(client, url).await.err() {
        Some(RequestFailure::TlsCertificateInvalid(fault)) => Some(fault),
        None => None,
        Some(other) => panic!("{url}: {other}"),
    };
    let policy = || IpPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let trusting = |tls: ClientConfig| {
        let surroundings = Surroundings { tls, name_server: None };
        PublicClient::within("test/1", policy(), LIMITS, surroundings).unwrap()
    };
    let signed = TlsServer::start(Issuer::Authority).await;
    let (right, wrong) = (signed.url("https", "localhost"), signed.url("https", "127.0.0.1"));
    assert_eq!(fault(&trusting(signed.trusting()), &right).await, None, "a good one is accepted");
    let with_root = signed.url("https", "localhost.");
    assert_eq!(fault(&trusting(signed.trusting()), &with_root).await, None, "the dot is no part of the name");
    assert_eq!(fault(&trusting(signed.trusting()), &wrong).await, Some(CertificateFault::WrongName));
    assert_eq!(fault(&client(LIMITS), &right).await, Some(CertificateFault::UnknownIssuer));
    let own = TlsServer::start(Issuer::Itself).await.url("https", "localhost");
    assert_eq!(fault(&client(LIMITS), &own).await, Some(CertificateFault::UnknownIssuer));
    for (at, expected) in
        [(u64::from(u32::MAX), CertificateFault::Expired), (1_000_000, CertificateFault::NotYetValid)]
    {
        let mut tls = signed.trusting();
        tls.time_provider = Arc::new(At(at));
        assert_eq!(fault(&trusting(tls), &right).await, Some(expected));
    }
}

/// A clock that stands still, in seconds since 1970.
#[derive(Debug)]
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

#[tokio::test]
async fn answers_that_break_off_or_are_not_http() {
    let hangs_up = RawServer::start(vec![], Duration::ZERO).await;
    assert_eq!(failure(&hangs_up.url("http")).await, RequestFailure::ConnectionClosed);
    let resets = RawServer::resetting().await;
    assert_eq!(failure(&resets.url("http")).await, RequestFailure::ConnectionReset);
    let other_protocol = RawServer::start(vec![b"SSH-2.0-OpenSSH_9.6\r\n"], Duration::ZERO).await;
    assert_eq!(failure(&other_protocol.url("http")).await, RequestFailure::InvalidResponse);
    let silent = RawServer::start(vec![b""], Duration::from_secs(30)).await;
    let limits = Limits { total: Duration::from_millis(200), ..LIMITS };
    assert_eq!(failure_within(&silent.url("http"), limits).await, RequestFailure::Timeout);

    let short =
        RawServer::start(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], Duration::ZERO).await;
    let body = get(&client(LIMITS), &short.url("http")).await.unwrap().read().await;
    let expected = (b"abc".to_vec(), BodyEnd::Failed(RequestFailure::ConnectionClosed));
    assert_eq!((body.bytes, body.end), expected);
}

#[tokio::test]
async fn interim_answers_are_skipped_but_not_without_end() {
    let few = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let polite = RawServer::start(vec![few, answer], Duration::ZERO).await;
    assert_eq!(get(&client(LIMITS), &polite.url("http")).await.unwrap().read().await.bytes, b"ok");

    // The client runs on this one thread, so the test would hang with it.
    let flood: &'static [u8] = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(400_000).leak();
    let floods = RawServer::start(vec![flood], Duration::ZERO).await;
    let client = client(LIMITS);
    let started = std::time::Instant::now();
    let failure_of_flood = get(&client, &floods.url("http")).await.err();
    assert_eq!(failure_of_flood, Some(RequestFailure::HeadTooLong));
    assert!(started.elapsed() < LIMITS.total / 5, "{:?}", started.elapsed());

    let long_head: &'static [u8] = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(100_000)).leak().as_bytes();
    let tall = RawServer::start(vec![long_head], Duration::ZERO).await;
    assert_eq!(failure(&tall.url("http")).await, RequestFailure::HeadTooLong);
}
