//! Creates per second: 1,000 accounts, workers stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::{Service, Stack};
use serde_json::json;

use crate::accounts;
use crate::line;

const ACCOUNTS: usize = 1000;

pub(crate) async fn measure(stack: &Stack, seconds: u64, connections: u32) -> anyhow::Result<()> {
    let accounts = Arc::new(accounts::make(stack, ACCOUNTS).await?);
    let gateway = stack.start(Service::Gateway).await;
    let (url, until) =
        (format!("{}/api/v1/runs", gateway.url()), Instant::now() + Duration::from_secs(seconds));
    let tasks: Vec<_> = (0..connections as usize)
        .map(|number| {
            let (accounts, url) = (Arc::clone(&accounts), url.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                let (mut samples, mut at) = (Vec::new(), number * 31);
                while Instant::now() < until {
                    let account = &accounts[at % ACCOUNTS];
                    at += 1;
                    let body = json!({"appId": account.app, "inputs": {"text": "hello"}});
                    let sent = Instant::now();
                    let response = client.post(&url).bearer_auth(&account.key).json(&body).send().await?;
                    anyhow::ensure!(response.status() == 202, "answered {}", response.status());
                    response.bytes().await?;
                    samples.push(sent.elapsed().as_secs_f64());
                }
                Ok(samples)
            })
        })
        .collect();
    let mut samples = Vec::new();
    for task in tasks {
        samples.extend(task.await??);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let rate = samples.len() as f64 / Duration::from_secs(seconds).as_secs_f64();
    line(&format!("202 over {connections} connections"), &format!("{rate:.0}/s"), samples);
    Ok(())
}
