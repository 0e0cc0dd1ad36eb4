//! How many statements a request costs.

use std::time::Instant;

use e2e::{Service, Stack};

const REQUESTS: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn authentication_is_one_database_call() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let calls = || gateway.counter("capi_database_calls_total");
    let (begun, before) = (Instant::now(), calls().await);
    for _ in 0..REQUESTS {
        assert_eq!(stack.get(&gateway, "/api/v1/models").await.status, 200);
    }
    let made = calls().await - before;
    // The gateway itself looks for overdue runs every second, and for expired keys now and then.
    let others = begun.elapsed().as_secs_f64() + 2.0;
    assert!((f64::from(REQUESTS)..f64::from(REQUESTS) + others).contains(&made), "{made} calls");
}
