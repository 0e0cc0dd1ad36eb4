//! Clients that are slow, or send too much: they are cut off, and nobody else notices (K9, K10).

use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use futures_util::future::join_all;
use shared::testing::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 1000;

/// Sends the beginning of a request and waits to be cut off; how long that took, and what was said.
async fn dawdle(gateway: &Process, beginning: String) -> (Duration, String) {
    let address = gateway.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(beginning.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut said = Vec::new();
    // A reset is a cut too.
    let cut = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    assert!(cut.is_ok(), "it is never cut off");
    (begun.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

fn resident_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Requests of others until `until` is over; their 99th percentile.
async fn others(stack: &Stack, gateway: &Process, until: impl Future<Output = ()>) -> Duration {
    let mut samples = Vec::new();
    tokio::pin!(until);
    loop {
        let sent = Instant::now();
        let asked = stack.get(gateway, "/api/v1/models").await;
        assert_eq!(asked.status, 200);
        samples.push(sent.elapsed());
        tokio::select! {
            () = &mut until => break,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    samples.sort_unstable();
    samples[samples.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off_and_others_do_not_notice() {
    let stack = Stack::unlimited().await;
    shared::ops::raise_open_files();
    let gateway = stack.start(Service::Gateway).await;
    let head = "POST /api/v1/runs HTTP/1.1\r\nHost: capi\r\nContent-Type: application/json\r\n";
    let headers = join_all((0..CONNECTIONS).map(|_| dawdle(&gateway, head.to_owned())));
    let body = format!("{head}Authorization: Bearer {}\r\nContent-Length: 100\r\n\r\n{{", stack.key);
    let bodies = join_all((0..CONNECTIONS).map(|_| dawdle(&gateway, body.clone())));
    let keyless = format!("{head}Content-Length: 100\r\n\r\n{{");
    let keyless = join_all((0..10).map(|_| dawdle(&gateway, keyless.clone())));
    let slow = async {
        let (headers, bodies, keyless) = tokio::join!(headers, bodies, keyless);
        for (took, _) in &headers {
            assert!(*took < Duration::from_secs(8), "a slow head is cut after 5 s: {took:?}");
        }
        for (took, said) in &bodies {
            assert!(*took < Duration::from_secs(20), "a slow body is cut after 15 s: {took:?}");
            assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("request_timeout"), "{said}");
        }
        for (took, said) in &keyless {
            assert!(said.starts_with("HTTP/1.1 401 "), "{said}");
            assert!(*took < Duration::from_secs(8), "no body is waited for without a key: {took:?}");
        }
    };
    let p99 = others(&stack, &gateway, slow).await;
    assert!(p99 < Duration::from_millis(500), "others wait {p99:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn monstrous_bodies_cost_no_memory() {
    const MIB: usize = 1 << 20;
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let nested = |levels: usize| format!("{{\"inputs\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let bodies = [
        ("x".repeat(MIB + 1), 413),
        ("x".repeat(8 * MIB), 413),
        (nested(1000), 400),
        (nested(MIB / 2 - 20), 400),
        (format!("{{{}}}", vec!["\"a\":1"; 150_000].join(",")), 400),
        (format!("{{\"inputs\":{{\"text\":\"{}\"}}}}", "\\u0000".repeat(100_000)), 400),
    ];
    let send = async |body: String, chunked: bool| {
        let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
        let request = request.header("content-type", "application/json");
        let body = if chunked {
            let parts = body.as_bytes().chunks(60_000).map(|part| Ok::<_, std::io::Error>(part.to_vec()));
            reqwest::Body::wrap_stream(futures_util::stream::iter(parts.collect::<Vec<_>>()))
        } else {
            body.into()
        };
        match request.body(body).send().await {
            Ok(answer) => answer.status().as_u16(),
            // Answered and closed before everything was sent.
            Err(_) => 413,
        }
    };
    send("{}".to_owned(), false).await;
    let before = resident_kib(&gateway);
    for _ in 0..10 {
        for (body, status) in &bodies {
            for chunked in [false, true] {
                assert_eq!(send(body.clone(), chunked).await, *status, "{}", &body[..40]);
            }
        }
    }
    let grown = resident_kib(&gateway).saturating_sub(before);
    assert!(grown < 32 * 1024, "the gateway grew by {grown} KiB");
    assert_eq!(stack.text("SELECT count(*)::text AS text FROM runs").await, "0");
}
