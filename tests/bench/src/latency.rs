//! From the request leaving the client to the model's server having it, on an idle system, one run at a time.

use std::time::Instant;

use e2e::{Service, Stack};
use shared::testing::eventually;

use crate::line;

pub(crate) async fn measure(stack: &Stack, runs: u32) -> anyhow::Result<()> {
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let mut samples = Vec::new();
    for number in 1..=runs as usize {
        let sent = Instant::now();
        let id = stack.create_run(&gateway, "hello", None).await;
        let asked =
            eventually("the model is asked", async || stack.model.asked().get(number - 1).map(|(at, _)| *at))
                .await;
        samples.push(asked.duration_since(sent).as_secs_f64());
        stack.ended(&gateway, &id).await;
    }
    // The first ones open connections and prepare statements.
    let warm = samples.split_off(samples.len() / 10);
    line("request to model asked, idle", &format!("{} runs", warm.len()), warm);
    Ok(())
}
