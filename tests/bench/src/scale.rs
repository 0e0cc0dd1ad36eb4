//! P9: more workers do more. Each run waits for the model for a second, so a worker with a free place is the
//! only thing that a run needs.

use e2e::{Service, Stack};
use serde_json::json;

use crate::creates::requests;
use crate::line;
use crate::runs::{send, wait_until_over};

const WORKERS: [usize; 3] = [1, 2, 4];
const PLACES: usize = 16;
/// Whole waves for each number of workers.
const RUNS: usize = PLACES * 4 * 6;
const MODEL_MS: usize = 1000;

const TOOK: &str = "SELECT extract(epoch FROM max(completed_at) - min(started_at))::text AS text FROM runs";

pub(crate) async fn measure() -> anyhow::Result<()> {
    let mut alone = None;
    for workers in WORKERS {
        let took = seconds(workers).await?;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (runs, ideal) = (RUNS as f64, (RUNS / (PLACES * workers) * MODEL_MS) as f64 / 1000.0);
        let one = *alone.get_or_insert(took);
        let figures = format!(
            "{:.1}/s, {:.2} × one worker, {:.0} % of whole waves",
            runs / took,
            one / took,
            ideal / took * 100.0
        );
        line(&format!("model-bound runs, {workers} workers"), &figures, vec![]);
    }
    Ok(())
}

/// The seconds from the first start to the last end.
async fn seconds(workers: usize) -> anyhow::Result<f64> {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "30");
    let gateway = stack.start(Service::Gateway).await;
    let mut running = Vec::new();
    for _ in 0..workers {
        let places = PLACES.to_string();
        running.push(stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", &places).await);
    }
    let script = json!([{"wait": MODEL_MS, "say": "Done."}]);
    let requests = requests(&stack, &json!({"inputs": {"text": format!("SCRIPT {script}")}})).await?;
    send(requests, &gateway, RUNS).await?;
    wait_until_over(&stack).await?;
    Ok(stack.text(TOOK).await.parse()?)
}
