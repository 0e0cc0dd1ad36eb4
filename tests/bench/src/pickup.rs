//! P2 under a light load: from the answer 202 to the request at the model, at 40 creates a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use e2e::{Service, Stack};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::testing::eventually;

use crate::line;

const CREATES: u32 = 600;
const EVERY: Duration = Duration::from_millis(25);
/// The first creates open connections.
const WARM_UP: u32 = 60;

pub(crate) async fn measure() -> anyhow::Result<()> {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "64").await;
    let creates = (0..CREATES).map(async |number| {
        tokio::time::sleep(EVERY * number).await;
        let body = json!({"appId": stack.app, "inputs": {"text": format!("pickup-{number}.")}});
        let status = stack.post(&gateway, "/api/v1/runs", &body).await.status;
        anyhow::ensure!(status == 202, "the gateway answered {status}");
        Ok((number, Instant::now()))
    });
    let answered: Vec<_> = join_all(creates).await.into_iter().collect::<anyhow::Result<_>>()?;
    eventually("the model gets all requests", async || {
        (stack.model.asked().len() >= answered.len()).then_some(())
    })
    .await;
    let asked = stack.model.asked();
    let asked: HashMap<u32, Instant> =
        asked.iter().filter_map(|(at, body)| Some((number_of(body)?, *at))).collect();
    let warm = answered.iter().filter(|(number, _)| *number >= WARM_UP);
    // The model may be asked before the client has read the answer.
    let took = warm.filter_map(|(number, at)| Some(asked.get(number)?.saturating_duration_since(*at)));
    let samples: Vec<_> = took.map(|took| took.as_secs_f64()).collect();
    line("202 to model asked, 40 creates/s (P2: < 2 ms)", &format!("{} runs", samples.len()), samples);
    Ok(())
}

/// The number in the prompt of a request.
fn number_of(body: &Value) -> Option<u32> {
    let body = body.to_string();
    let (number, _) = body.split_once("pickup-")?.1.split_once('.')?;
    number.parse().ok()
}
