//! Clients that are slow or send too much: the gateway cuts them off and serves the others (K9, K10). The
//! drill slow-clients has the times.

use std::time::Duration;

use e2e::slow::{slow_bodies, slow_heads, slow_keyless_bodies, unread};
use e2e::{Process, Service, Stack};
use futures_util::future::join_all;
use shared::testing::eventually;

/// Others that a gateway serves at least while it waits for slow clients. One that served none until the slow
/// clients were gone would serve two.
const OTHERS: usize = 10;
/// Slow clients of each kind. The drill has 1,000: each costs a statement at first, and in `make test` other
/// tests keep the processors busy.
const CLIENTS: usize = 300;

fn resident_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends requests of another client until `until` is over; the number of those that were served.
async fn others(stack: &Stack, gateway: &Process, until: impl Future<Output = ()>) -> usize {
    let mut served = 0;
    tokio::pin!(until);
    loop {
        let answer = stack.get_once(gateway, "/api/v1/models").await;
        // A busy gateway may refuse a request.
        if answer.status != 503 {
            assert_eq!(answer.status, 200, "{answer:?}");
            served += 1;
        }
        tokio::select! {
            () = &mut until => return served,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off_and_others_are_served() {
    let stack = Stack::unlimited().await;
    shared::ops::raise_open_files();
    let gateway = stack.start(Service::Gateway).await;
    let slow = async {
        let (_heads, bodies, keyless) = tokio::join!(
            slow_heads(&gateway, CLIENTS),
            slow_bodies(&gateway, &stack.key, CLIENTS),
            slow_keyless_bodies(&gateway)
        );
        for cut in &bodies {
            let told = cut.answer.starts_with("HTTP/1.1 408 ") && cut.answer.contains("request_timeout");
            assert!(told, "a slow body is told so: {cut:?}");
        }
        for cut in &keyless {
            assert!(cut.answer.starts_with("HTTP/1.1 401 "), "no body is waited for without a key: {cut:?}");
        }
    };
    let served = others(&stack, &gateway, slow).await;
    assert!(served >= OTHERS, "{served} requests of others were served");
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
    // A busy gateway may refuse a request before it reads the body.
    let decided = async |body: &str, chunked: bool| {
        eventually("an answer other than 503", async || {
            Some(send(body.to_owned(), chunked).await).filter(|status| *status != 503)
        })
        .await
    };
    send("{}".to_owned(), false).await;
    let before = resident_kib(&gateway);
    for _ in 0..10 {
        for (body, status) in &bodies {
            for chunked in [false, true] {
                assert_eq!(decided(body.as_str(), chunked).await, *status, "{}", &body[..40]);
            }
        }
    }
    let grown = resident_kib(&gateway).saturating_sub(before);
    assert!(grown < 32 * 1024, "the gateway grew by {grown} KiB");
    assert_eq!(stack.text("SELECT count(*)::text AS text FROM runs").await, "0");
}

/// A7: twelve such clients held 600 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_cost_little_memory() {
    const CLIENTS: usize = 12;
    const KIB_EACH: u64 = 2 * 1024;
    /// The connections to the database that each gateway of a stack has.
    const POOL: usize = 6;
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    stack.backlog(20, &"x".repeat(1 << 20)).await;
    let path = "/api/v1/runs?include=inputs,result";
    // The connections of the pool keep a buffer for a page each.
    join_all((0..3 * POOL).map(|_| stack.get(&gateway, path))).await;
    let answered = async || gateway.counter("capi_http_request_duration_seconds_count").await;
    let before = (resident_kib(&gateway), answered().await);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(unread(&gateway, path, &stack.key).await);
    }
    // Some get an answer that they do not read, the others a refusal.
    eventually("all are answered", async || (answered().await >= before.1 + 12.0).then_some(())).await;
    let grown = resident_kib(&gateway).saturating_sub(before.0);
    assert!(grown < KIB_EACH * clients.len() as u64, "the gateway grew by {grown} KiB");
    drop(clients);
}
