//! P5: what the services use while there is nothing to do, at two sizes of the worker.

use std::time::Duration;

use e2e::{Service, Stack};

use crate::line;
use crate::machine::Threads;

const CONCURRENCY: [&str; 2] = ["16", "512"];
/// From the start of a service until its caches are filled and its connections are open.
const SETTLE: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(10);

pub(crate) async fn measure() -> anyhow::Result<()> {
    for concurrency in CONCURRENCY {
        let mut stack = Stack::unlimited().await;
        for (name, value) in [("CAPI_LEASE_SECONDS", "30"), ("CAPI_WORKER_CONCURRENCY", concurrency)] {
            stack.settings = stack.settings_with(name, value);
        }
        let services = [
            stack.start(Service::Gateway).await,
            stack.start(Service::RunWorker).await,
            stack.start(Service::WebhookDispatcher).await,
        ];
        tokio::time::sleep(SETTLE).await;
        let roots: Vec<_> = services.iter().filter_map(e2e::Process::pid).collect();
        anyhow::ensure!(roots.len() == services.len(), "a service has ended");
        let used = || roots.iter().map(|root| Threads::cpu_ms(*root)).collect::<Vec<_>>();
        let before = used();
        tokio::time::sleep(WATCHED).await;
        let percent =
            |(after, before): (&Threads, &Threads)| after.since(before) / WATCHED.as_secs_f64() / 10.0;
        let shares: Vec<_> = used().iter().zip(&before).map(percent).collect();
        let each = shares.iter().map(|share| format!("{share:.2}")).collect::<Vec<_>>().join(" + ");
        let sum: f64 = shares.iter().sum();
        line(
            &format!("idle, concurrency {concurrency} (P5: < 1 %)"),
            &format!("{sum:.2} % of a core: {each} (gateway, run-worker, webhook-dispatcher)"),
            vec![],
        );
    }
    Ok(())
}
