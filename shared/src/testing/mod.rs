//! Test doubles for third parties (the model, web pages, webhook receivers), and fixtures on the real
//! PostgreSQL and RabbitMQ: each test has its own database and queue prefix.
//! `deploy/local/with-test-services.sh` sets their URLs.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a fixture that cannot be made fails its test"
)]

mod database;
mod files;
mod http;
mod model;
mod pages;
pub mod property;
mod proxy;
mod queues;
mod raw;
mod receiver;
mod search;
mod template;
mod tls;

pub use database::{PlanLine, TestDatabase, plan_of};
pub use files::{FileServer, Given, RunningFileServer};
pub use model::{MeasuredRequest, ScriptedModel};
pub use pages::PageServer;
pub use proxy::TcpProxy;
pub use queues::TestQueues;
pub use raw::{Ending, RawServer};
pub use receiver::{ReceivedWebhook, WebhookReceiver};
pub use search::{AskedSearch, SearchServer};
pub use template::migrated;
pub use tls::{Issuer, TlsServer};

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Longest wait for something that a test expects. It is generous, so that tests pass on a busy machine.
pub const WAIT_LIMIT: Duration = Duration::from_secs(90);

/// Asks until the answer is `Some`, for at most [`WAIT_LIMIT`].
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(WAIT_LIMIT, what, ask).await
}

/// The same with another limit.
pub async fn eventually_within<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts a service again until it starts, as orchestrators do: a start fails if the database does not answer
/// within a second.
pub async fn started<T, E: Display>(mut start: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut last = String::new();
    let deadline = Instant::now() + WAIT_LIMIT;
    while Instant::now() < deadline {
        match start().await {
            Ok(running) => return running,
            Err(error) => last = format!("{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not start: {last}")
}

fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set; run the tests through `make test` or deploy/local/with-test-services.sh")
    })
}

/// Runs async clean-up from a destructor, on another thread: the destructor's own may belong to a runtime.
fn block_on_elsewhere(task: impl Future<Output = ()> + Send + 'static) {
    let ended = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), task).await.ok() });
        }
    });
    let _ = ended.join();
}
