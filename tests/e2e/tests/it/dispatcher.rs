//! What only a dispatcher process shows: its memory, its database connections, and its environment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use e2e::{Service, Stack};
use shared::testing::{Ending, RawServer, WebhookReceiver, eventually};

/// W7: proxy variables.
#[tokio::test(flavor = "multi_thread")]
async fn proxy_variables_have_no_effect() {
    let mut stack = Stack::unlimited().await;
    let proxy = RawServer::start(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], Duration::ZERO).await;
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        stack.settings.push((name.to_owned(), proxy.url("http")));
    }
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    stack.add_webhooks(stack.app, &receiver.url(), 1, 1).await;
    eventually("the webhook arrives", async || (receiver.count() == 1).then_some(())).await;
    assert_eq!(proxy.connections(), 0);
}

/// W5: answers of a gigabyte and more.
#[tokio::test(flavor = "multi_thread")]
async fn endless_answers_cost_little_memory() {
    const RECEIVERS: usize = 16;
    const MOST_MB: u64 = 10;
    let stack = Stack::unlimited().await;
    let warm = WebhookReceiver::start([]).await;
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    stack.add_webhooks(stack.app, &warm.url().replace("127.0.0.1", "w*.localhost"), RECEIVERS, 200).await;
    eventually("the dispatcher is warm", async || (warm.count() == 200).then_some(())).await;
    let before = dispatcher.resident_mb();
    let piece: &'static [u8] = b"x".repeat(65_536).leak();
    let pieces = vec![b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n".as_slice(), piece];
    let flood = RawServer::ending(pieces, Duration::ZERO, Ending::Repeat).await;
    let url = format!("http://f*.localhost:{}/", flood.port());
    stack.add_webhooks(stack.app, &url, RECEIVERS, RECEIVERS).await;
    let (mut most, open) =
        (before, "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'");
    eventually("all are delivered", async || {
        most = most.max(dispatcher.resident_mb());
        (stack.text(open).await == "0").then_some(())
    })
    .await;
    assert!(most - before < MOST_MB, "{before} MB, then {most} MB");
}

/// W11: the receiver takes connections and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn no_database_connection_is_held_during_a_request() {
    const PENDING: usize = 50_000;
    const LANES: usize = 10;
    const POOL: &str = "2";
    /// A request hangs three times as long.
    const HELD: Duration = Duration::from_secs(5);
    /// With fewer samples, the machine itself may have stopped for a while.
    const SAMPLES: usize = 10;
    let stack = Stack::unlimited().await;
    let silent = RawServer::ending(vec![], Duration::ZERO, Ending::Hold).await;
    let url = format!("http://dead*.localhost:{}/", silent.port());
    stack.add_webhooks(stack.app, &url, LANES, PENDING).await;
    let _dispatcher = stack.start_with(Service::WebhookDispatcher, "CAPI_DATABASE_POOL_SIZE", POOL).await;
    eventually("more requests than connections are in flight", async || {
        (silent.connections() >= LANES).then_some(())
    })
    .await;
    let busy = "SELECT pid || ' since ' || state_change AS text FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'capi-webhook-dispatcher'
                  AND state <> 'idle'";
    let mut seen: HashMap<String, (Instant, usize)> = HashMap::new();
    let until = Instant::now() + HELD * 3 / 2;
    while Instant::now() < until {
        let now = stack.texts(busy).await;
        seen.retain(|connection, _| now.contains(connection));
        for connection in now {
            let (first, samples) = seen.entry(connection).or_insert_with(|| (Instant::now(), 0));
            *samples += 1;
            assert!(first.elapsed() < HELD || *samples < SAMPLES, "a connection is held: {seen:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let healthy = WebhookReceiver::start([]).await;
    stack.add_webhooks(stack.app, &healthy.url(), 1, 1).await;
    eventually("another webhook arrives meanwhile", async || (healthy.received().len() == 1).then_some(()))
        .await;
}
