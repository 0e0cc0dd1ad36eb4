//! Connections, byte by byte: early refusals (C6), keep-alive (C7), expectations, and what is no HTTP.

use std::time::{Duration, Instant};

use e2e::{Gateway, Stack};
use serde_json::json;
use shared::testing::WAIT_LIMIT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::TestApp;

const MIB: usize = 1 << 20;
/// A connection with an unread body is closed after 3 s. The machine may be busy.
const CLOSES_WITHIN: Duration = Duration::from_secs(12);
/// The kernels of both sides hold some MiB. Without a bound, gigabytes go through in this time.
const MOST_SWALLOWED: usize = 32 * MIB;

async fn connect(gateway: &TestApp) -> TcpStream {
    TcpStream::connect(gateway.url().trim_start_matches("http://")).await.unwrap()
}

async fn send(gateway: &TestApp, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = connect(gateway).await;
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream
}

/// All that comes until the connection is closed, and after which time.
async fn to_end(stream: &mut TcpStream) -> (String, Duration) {
    let (begun, mut bytes) = (Instant::now(), Vec::new());
    // A reset after the answer is an end too.
    let _ = timeout(WAIT_LIMIT, stream.read_to_end(&mut bytes)).await.unwrap();
    (String::from_utf8_lossy(&bytes).into_owned(), begun.elapsed())
}

/// One answer with a Content-Length.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if is_whole(&text) {
                return text;
            }
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the connection ended: {text}");
        }
    };
    timeout(WAIT_LIMIT, read).await.unwrap()
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse::<usize>().unwrap())
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: capi\r\n{headers}\r\n\r\n")
}

/// Each request is refused before its body is read. The client then sends nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn c6_a_refused_client_that_falls_silent_is_cut_off_with_its_whole_answer() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let key = &format!("authorization: Bearer {}", stack.key);
    let (json, form) = ("content-type: application/json", "content-type: multipart/form-data; boundary=b");
    let (chunked, long) = ("transfer-encoding: chunked", "content-length: 900000");
    let lines = |lines: &[&str]| lines.join("\r\n");
    let mut cases = Vec::new();
    for body in [chunked, long] {
        for kind in [json, form] {
            cases.push((401, post("/api/v1/runs", &lines(&[kind, body]))));
            cases.push((404, post("/api/v1/nothing", &lines(&[kind, body]))));
        }
        cases.push((415, post("/api/v1/runs", &lines(&[key, "content-type: text/plain", body]))));
        cases.push((405, post("/docs", &lines(&[json, body]))));
        cases.push((
            415,
            post("/sign-in", &lines(&["origin: http://localhost", "content-type: text/plain", body])),
        ));
        cases.push((400, post("/api/v1/runs?x=1", &lines(&[key, json, body]))));
    }
    cases.push((413, post("/api/v1/runs", &lines(&[key, json, "content-length: 90000000"]))));
    cases.push((413, post("/api/v1/runs", &lines(&[key, form, "content-length: 900000000"]))));
    let refused = cases.into_iter().map(|(status, head)| {
        let gateway = &gateway;
        async move {
            let begins = if head.contains("chunked") { "5\r\n{\"a\":\r\n" } else { "{\"a\":" };
            let mut stream = send(gateway, head.clone() + begins).await;
            let (text, after) = to_end(&mut stream).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{head}{text}");
            assert!(is_whole(&text) && text.contains("connection: close"), "{head}{text}");
            assert!(after < CLOSES_WITHIN, "{after:?}: {head}");
        }
    });
    futures_util::future::join_all(refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_a_refused_client_that_floods_is_cut_off_and_can_read_its_answer() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    for (length, chunk) in [
        ("transfer-encoding: chunked", [b"10000\r\n".as_slice(), &vec![b'x'; 1 << 16], b"\r\n"].concat()),
        ("content-length: 100000000000", vec![b'x'; 1 << 16]),
    ] {
        let head = post("/api/v1/runs", &format!("content-type: application/json\r\n{length}"));
        let (mut reader, mut writer) = send(&gateway, head).await.into_split();
        let (begun, mut swallowed) = (Instant::now(), 0);
        let flooding = async {
            while writer.write_all(&chunk).await.is_ok() {
                swallowed += chunk.len();
                assert!(swallowed < MOST_SWALLOWED, "it reads on and on");
            }
        };
        let reading = async {
            let mut bytes = Vec::new();
            let _ = reader.read_to_end(&mut bytes).await;
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let both = async { tokio::join!(flooding, reading).1 };
        let text = timeout(WAIT_LIMIT, both).await.expect("the flood ends");
        assert!(text.starts_with("HTTP/1.1 401 ") && is_whole(&text), "{length}: {text}");
        assert!(begun.elapsed() < CLOSES_WITHIN, "{length}: {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_idle_connections_stay_open_for_the_set_time() {
    let stack = Stack::unlimited().await;
    let get = format!("GET /api/v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", stack.key);
    let gateway = TestApp::start(&stack).await;
    let mut stream = send(&gateway, &get).await;
    let first = answer(&mut stream).await;
    assert!(first.starts_with("HTTP/1.1 200 ") && first.contains("keep-alive: timeout=75"), "{first}");
    let idle = timeout(Duration::from_secs(8), stream.read_u8()).await;
    assert!(idle.is_err(), "closed or disturbed: {idle:?}");
    stream.write_all(get.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));

    gateway.drain();
    stream.write_all(get.as_bytes()).await.unwrap();
    let (last, _) = to_end(&mut stream).await;
    assert!(last.contains("connection: close") && !last.contains("keep-alive: timeout"), "{last}");

    let short = TestApp::start_with(&stack, "CAPI_KEEP_ALIVE_SECONDS", "2").await;
    let mut stream = send(&short, &get).await;
    assert!(answer(&mut stream).await.contains("keep-alive: timeout=2"));
    let (rest, after) = to_end(&mut stream).await;
    assert!(rest.is_empty() && (Duration::from_secs(1)..CLOSES_WITHIN).contains(&after), "{rest} {after:?}");
    let closing = get.replace("host: x", "host: x\r\nconnection: close");
    let (text, _) = to_end(&mut send(&short, closing).await).await;
    assert!(!text.contains("keep-alive: timeout"), "{text}");
}

/// K9: the head of a later request is limited like the first.
#[tokio::test(flavor = "multi_thread")]
async fn k9_a_slow_head_on_a_kept_connection_is_cut_off() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let mut stream = send(&gateway, "GET /docs/problems HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    stream.write_all(b"GET /docs HT").await.unwrap();
    let (_, after) = to_end(&mut stream).await;
    assert!((Duration::from_secs(4)..CLOSES_WITHIN).contains(&after), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_100_gets_it_once_its_request_is_accepted() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}}).to_string();
    let head = |key: &str, length: usize, expect: &str| {
        post(
            "/api/v1/runs",
            &format!(
                "authorization: Bearer {key}\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\nexpect: {expect}"
            ),
        )
    };
    let mut stream = send(&gateway, head(&stack.key, body.len(), "100-continue")).await;
    let mut interim = [0; 25];
    timeout(WAIT_LIMIT, stream.read_exact(&mut interim)).await.unwrap().unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));

    for (request, status) in [
        (head("capi_wrong", 10, "100-continue"), 401),
        (head(&stack.key, 90_000_000, "100-continue"), 413),
        (head(&stack.key, body.len(), "miracles"), 417),
        (head(&stack.key, body.len(), "100-continue, miracles"), 417),
    ] {
        let (text, after) = to_end(&mut send(&gateway, &request).await).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "no 100 before: {request}{text}");
        assert!(after < CLOSES_WITHIN, "{after:?}");
    }
    // A client that does not wait for the 100.
    let mut stream = send(&gateway, head(&stack.key, body.len(), "100-continue") + &body).await;
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 202 ") || text.starts_with("HTTP/1.1 100 "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_gets_400_and_the_end() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let key = format!("authorization: Bearer {}\r\ncontent-type: application/json", stack.key);
    let get = format!("GET /api/v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", stack.key);
    for (bytes, first, then) in [
        ("garbage\r\n\r\n".to_owned(), "HTTP/1.1 400 ", ""),
        // The library closes the connection at a malformed chunk, before any answer.
        (post("/api/v1/runs", &format!("{key}\r\ntransfer-encoding: chunked")) + "zz\r\n", "", ""),
        (get.clone() + "garbage\r\n\r\n", "HTTP/1.1 200 ", "HTTP/1.1 400 "),
        (post("/api/v1/runs", &key) + "{\"appId\": 1}\r\n\r\n", "HTTP/1.1 400 ", "HTTP/1.1 400 "),
        ("POST /api/v1/runs HTTP/1.0\r\n\r\n{}".to_owned(), "HTTP/1.1 400 ", ""),
    ] {
        let (text, after) = to_end(&mut send(&gateway, &bytes).await).await;
        assert!(
            text.starts_with(first) && text.get(1..).unwrap_or_default().contains(then),
            "{bytes}: {text}"
        );
        assert!(after < CLOSES_WITHIN, "{after:?}");
    }
    let unmeasured = to_end(&mut send(&gateway, post("/api/v1/runs", &key) + "{}").await).await.0;
    assert!(unmeasured.contains("the body is empty"), "{unmeasured}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_exactly_the_limit_is_answered_at_once() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let body = format!("{{\"a\": \"{}\"}}", "x".repeat(MIB - 9));
    assert_eq!(body.len(), MIB);
    let url = format!("{}/api/v1/runs", gateway.url());
    let create =
        || stack.client().post(&url).bearer_auth(&stack.key).header("content-type", "application/json");
    let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(body.clone())]);
    for request in [create().body(body.clone()), create().body(reqwest::Body::wrap_stream(pieces))] {
        let begun = Instant::now();
        let refused = stack.send(request).await;
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["pointer"]),
            (400, &"/a".into()),
            "{refused:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
