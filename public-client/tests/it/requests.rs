//! What the client sends, follows and reads.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use public_client::header::{CONTENT_ENCODING, HeaderMap};
use public_client::{BodyEnd, GetFailure, Hops, Limits, MAX_REDIRECTS, PublicClient};
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::UrlRefusal;
use shared::testing::{PageServer, RawServer, WebhookReceiver, eventually};
use url::Url;

use crate::{LIMITS, client, get};

#[tokio::test]
async fn a_host_without_a_public_address_is_never_connected() {
    let pages = PageServer::start().await;
    let client = PublicClient::new("test/1", IpPolicy::default(), LIMITS).unwrap();
    let local = pages.url("/long").replace("127.0.0.1", "localhost");
    for (url, expected) in [
        (pages.url("/long"), RequestFailure::InvalidUrl(UrlRefusal::NotPublic("127.0.0.1".parse().unwrap()))),
        (local, RequestFailure::InvalidUrl(UrlRefusal::Localhost)),
    ] {
        let failure = get(&client, &url).await.err().unwrap();
        assert_eq!((&failure, failure.code()), (&expected, "address_not_allowed"), "{url}");
        let failure = client.post(&url, HeaderMap::new(), vec![]).await.err().unwrap();
        assert_eq!(failure, expected, "{url}");
    }
    assert_eq!(pages.asked(), 0);
}

#[tokio::test]
async fn get_checks_every_redirect_and_follows_a_few() {
    let pages = PageServer::start().await;
    let client = client(LIMITS);
    let page = get(&client, &pages.url("/hop")).await.unwrap();
    assert_eq!((page.status(), page.url().path()), (200, "/slow"));
    let failure = get(&client, &pages.url("/inward")).await.err().unwrap();
    assert_eq!(failure.code(), "address_not_allowed");
    let asked = pages.asked();
    assert_eq!(get(&client, &pages.url("/loop")).await.err().unwrap(), RequestFailure::TooManyRedirects);
    assert_eq!(pages.asked() - asked, MAX_REDIRECTS + 1);
}

/// Refuses `/slow`, and remembers what it was asked.
#[derive(Default)]
struct NotSlow {
    checked: Mutex<Vec<(String, usize)>>,
}

impl Hops for NotSlow {
    async fn check(&self, url: &Url, redirects: usize) -> Result<(), String> {
        self.checked.lock().unwrap().push((url.path().to_owned(), redirects));
        if url.path() == "/slow" { Err("The page is slow.".to_owned()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn the_caller_decides_about_every_hop() {
    let (pages, hops, client) = (PageServer::start().await, NotSlow::default(), client(LIMITS));
    let refused = client.get(&pages.url("/hop"), "*/*", &hops).await.err().unwrap();
    assert_eq!(refused, GetFailure::Refused("The page is slow.".to_owned()));
    assert_eq!(pages.asked(), 1, "the target of the redirect is not asked");
    assert_eq!(*hops.checked.lock().unwrap(), [("/hop".to_owned(), 0), ("/slow".to_owned(), 1)]);
    let private = client.get("http://169.254.169.254/", "*/*", &hops).await.err().unwrap();
    assert!(matches!(private, GetFailure::Request(RequestFailure::InvalidUrl(_))), "{private:?}");
    assert_eq!(hops.checked.lock().unwrap().len(), 2, "a URL that is refused anyway");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failed = client.get(&format!("http://{closed}/"), "*/*", &hops).await.err().unwrap();
    assert_eq!(failed, GetFailure::Request(RequestFailure::ConnectRefused));
}

#[tokio::test]
async fn post_does_not_follow_a_redirect() {
    let pages = PageServer::start().await;
    let answer = client(LIMITS).post(&pages.url("/hop"), HeaderMap::new(), b"{}".to_vec()).await.unwrap();
    assert_eq!((answer.status(), pages.asked()), (302, 1));
}

#[tokio::test]
async fn a_body_is_read_up_to_the_cap() {
    let pages = PageServer::start().await;
    let read = async |path| get(&client(LIMITS), &pages.url(path)).await.unwrap().read().await;
    let huge = read("/huge").await;
    assert_eq!((huge.bytes.len(), huge.end), (LIMITS.body_bytes, BodyEnd::Cut));
    let long = read("/long").await;
    assert_eq!((long.bytes.len(), long.end), (4000, BodyEnd::Complete));
}

#[tokio::test]
async fn the_deadline_covers_the_whole_body() {
    const TOTAL: Duration = Duration::from_secs(4);
    let limits = Limits { total: TOTAL, ..LIMITS };
    let pages = PageServer::start().await;
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".as_slice()];
    pieces.extend([b"x".as_slice(); 1000]);
    let dripping = RawServer::start(pieces, Duration::from_millis(50)).await;
    for url in [pages.url("/never"), dripping.url("http")] {
        let started = Instant::now();
        let body = get(&client(limits), &url).await.unwrap().read().await;
        assert_eq!(body.end, BodyEnd::Failed(RequestFailure::Timeout), "{url}");
        assert!(!body.bytes.is_empty(), "what arrived is kept: {url}");
        assert!(started.elapsed() >= TOTAL, "{url}");
    }
    eventually("the connection is closed", async || (pages.holding() == 0).then_some(())).await;
}

#[tokio::test]
async fn the_deadline_covers_all_redirects() {
    let hop = vec![b"HTTP/1.1 302 Found\r\n".as_slice(), b"location: /\r\ncontent-length: 0\r\n\r\n"];
    let server = RawServer::start(hop, Duration::from_secs(1)).await;
    let limits = Limits { total: Duration::from_millis(2500), ..LIMITS };
    let failure = get(&client(limits), &server.url("http")).await.err().unwrap();
    assert_eq!(failure, RequestFailure::Timeout, "and not TooManyRedirects");
}

#[tokio::test]
async fn connections_are_not_reused() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".as_slice();
    let server = RawServer::start(vec![answer], Duration::from_millis(200)).await;
    let client = client(LIMITS);
    for _ in 0..2 {
        assert_eq!(get(&client, &server.url("http")).await.unwrap().read().await.bytes, b"ok");
    }
    assert_eq!(server.connections(), 2);
}

/// Each is answered with `ok`.
async fn post_times(client: &PublicClient, url: &str, times: usize) {
    for _ in 0..times {
        let answer = client.post(url, HeaderMap::new(), b"x".to_vec()).await.unwrap();
        assert_eq!((answer.peer().to_string(), answer.status()), ("127.0.0.1".to_owned(), 200));
        assert_eq!(answer.read().await.bytes, b"ok");
    }
}

/// Answers each request of a connection up to `most`, and closes it then.
async fn answering(most: usize) -> RawServer {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".as_slice();
    RawServer::answering_each(answer, most).await
}

#[tokio::test]
async fn a_client_that_keeps_connections_uses_them_again() {
    let (server, other) = (answering(usize::MAX).await, answering(usize::MAX).await);
    let client = client(LIMITS).keeping_connections();
    post_times(&client, &server.url("http"), 5).await;
    assert_eq!(server.connections(), 1);
    post_times(&client, &other.url("http"), 1).await;
    assert_eq!((server.connections(), other.connections()), (1, 1), "each origin has its own");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    post_times(&client, &server.url("http"), 1).await;
    assert_eq!(server.connections(), 2, "an idle connection is not used any more");
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closes_loses_no_request() {
    let server = answering(1).await;
    let client = client(LIMITS).keeping_connections();
    post_times(&client, &server.url("http"), 5).await;
    assert_eq!(server.connections(), 5);
}

/// The body is longer than what is read, so the connection is of no more use.
#[tokio::test]
async fn a_connection_is_kept_only_after_the_whole_body() {
    let server = answering(usize::MAX).await;
    let client = client(Limits { body_bytes: 1, ..LIMITS }).keeping_connections();
    for connections in 1..=2 {
        let answer = client.post(&server.url("http"), HeaderMap::new(), vec![]).await.unwrap();
        assert_eq!(answer.read().await.end, BodyEnd::Cut);
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn bodies_are_not_decompressed_and_no_compression_is_asked_for() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08";
    let server = RawServer::start(vec![answer.as_slice()], Duration::ZERO).await;
    let response = get(&client(LIMITS), &server.url("http")).await.unwrap();
    assert_eq!(response.header(CONTENT_ENCODING), Some("gzip"));
    assert_eq!(response.read().await.bytes, b"\x1f\x8b\x08");

    let receiver = WebhookReceiver::start([]).await;
    client(LIMITS).post(&receiver.url(), HeaderMap::new(), vec![]).await.unwrap();
    let headers = &receiver.received()[0].headers;
    assert_eq!((headers.get("accept-encoding"), &headers["user-agent"]), (None, &"test/1".to_owned()));
}
