//! Each way in which a request fails has its reason.

use std::sync::Arc;
use std::time::Duration;

use public_client::{BodyEnd, Limits};
use shared::net::failure::RequestFailure;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::get;
use crate::server::RawServer;
use crate::{LIMITS, client};

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
    assert_eq!(failure_within(&format!("https://{address}/"), limits).await, RequestFailure::ConnectTimeout);
    drop(listener);
    assert_eq!(failure(&format!("http://{address}/")).await, RequestFailure::ConnectRefused);
}

#[tokio::test]
async fn tls_that_fails() {
    let speaks_no_tls = RawServer::start(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n"], Duration::ZERO).await;
    assert_eq!(failure(&speaks_no_tls.url("https")).await, RequestFailure::TlsFailed);
    let hangs_up = RawServer::start(vec![], Duration::ZERO).await;
    assert_eq!(failure(&hangs_up.url("https")).await, RequestFailure::TlsFailed);
    assert_eq!(failure(&tls_server().await).await, RequestFailure::TlsCertificateInvalid);
}

#[tokio::test]
async fn answers_that_break_off_or_are_not_http() {
    let hangs_up = RawServer::start(vec![], Duration::ZERO).await;
    assert_eq!(failure(&hangs_up.url("http")).await, RequestFailure::ConnectionReset);
    let other_protocol = RawServer::start(vec![b"SSH-2.0-OpenSSH_9.6\r\n"], Duration::ZERO).await;
    assert_eq!(failure(&other_protocol.url("http")).await, RequestFailure::InvalidResponse);
    let silent = RawServer::start(vec![b""], Duration::from_secs(30)).await;
    let limits = Limits { total: Duration::from_millis(200), ..LIMITS };
    assert_eq!(failure_within(&silent.url("http"), limits).await, RequestFailure::Timeout);

    let short =
        RawServer::start(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], Duration::ZERO).await;
    let body = get(&client(LIMITS), &short.url("http")).await.unwrap().read().await;
    let expected = (b"abc".to_vec(), BodyEnd::Failed(RequestFailure::ConnectionReset));
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
    let started = std::time::Instant::now();
    assert_eq!(failure(&floods.url("http")).await, RequestFailure::InvalidResponse);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());

    let long_head: &'static [u8] = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(100_000)).leak().as_bytes();
    let tall = RawServer::start(vec![long_head], Duration::ZERO).await;
    assert_eq!(failure(&tall.url("http")).await, RequestFailure::InvalidResponse);
}

/// A server whose certificate no client can accept.
async fn tls_server() -> String {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_cert_resolver(Arc::new(BadCertificate::generate()));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    format!("https://{address}/")
}

#[derive(Debug)]
struct BadCertificate(Arc<CertifiedKey>);

impl BadCertificate {
    fn generate() -> Self {
        use ::aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
        let random = ::aws_lc_rs::rand::SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Self(Arc::new(CertifiedKey::new(vec![CertificateDer::from(b"not a certificate".to_vec())], key)))
    }
}

impl ResolvesServerCert for BadCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
