//! Addresses that webhooks must not reach, and redirects to them.

use std::time::Duration;

use shared::config::Networks;
use shared::testing::{RawServer, WebhookReceiver};
use tokio::net::TcpListener;

use crate::fixture::Fixture;

/// Every notation of addresses that are not public. Those of this machine would reach the listeners.
const TARGETS: [&str; 72] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "0.1.2.3",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f.1",
    "0x7f000001",
    "0X7F.0X0.0X0.0X1",
    "%31%32%37.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "\u{2460}27.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "a.b.localhost.",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::]",
    "10.0.0.1",
    "10.1",
    "167772161",
    "012.0.0.1",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.1",
    "3232235521",
    "100.64.0.1",
    "100.127.255.254",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "169.254.170.2",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[100::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:10.0.0.1]",
];

/// Accepts connections and counts them.
async fn counting(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind(address).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_notation_of_an_address_inside_is_connected() {
    let fixture = Fixture::create().await;
    let _dispatcher = fixture
        .start_with(|config| config.webhook_networks.webhook_allowed_networks = Networks::default())
        .await;
    let (everywhere, port) = counting("0.0.0.0:0").await;
    // Without IPv6 on this machine, there is nothing to reach by it.
    let six = TcpListener::bind(("::1", port)).await.ok();
    let mut runs = Vec::new();
    for target in TARGETS {
        runs.push((fixture.deliver_to(&format!("http://{target}:{port}/hook")).await.0, target));
    }
    for (run, target) in runs {
        let attempts = fixture.attempts_when(run, "retrying").await;
        let (status, error) = (attempts[0].status_code, &attempts[0].error);
        assert!(status.is_none() && error.contains("not a public address"), "{target}: {attempts:?}");
    }
    for listener in [Some(everywhere), six].into_iter().flatten() {
        let accepted = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(accepted.is_err(), "a connection reached {listener:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redirect_is_followed() {
    let fixture = Fixture::create().await;
    let _dispatcher = fixture.start().await;
    let second = WebhookReceiver::start([]).await;
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let head =
            format!("HTTP/1.1 {status} x\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", second.url()).leak();
        let first = RawServer::start(vec![head.as_bytes()], Duration::ZERO).await;
        let (run, _) = fixture.deliver_to(&first.url("http")).await;
        let attempts = fixture.attempts_when(run, "retrying").await;
        assert_eq!((attempts[0].status_code, first.connections()), (Some(status), 1));
        assert!(attempts[0].error.contains("final URL"), "{attempts:?}");
    }
    assert!(second.received().is_empty());
}
