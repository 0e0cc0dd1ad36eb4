//! P1: accepted creates per second, compared with the database alone. There are 1,000 accounts and no worker.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::{Service, Stack};
use serde_json::{Value, json};

use crate::http::Connection;
use crate::{accounts, line, median, percentile, raw};

pub(crate) const ACCOUNTS: usize = 1000;

/// The speed of the disk varies, so both measurements alternate.
const ROUNDS: usize = 3;

pub(crate) async fn measure(seconds: u64, connections: u32) -> anyhow::Result<()> {
    let (mut shares, mut slowest) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (alone, samples) = raw::measure(&Stack::unlimited().await, seconds, connections).await?;
        let raw = percentile(&samples, 99);
        line(&format!("pgbench, {connections} connections"), &format!("{alone:.0}/s"), samples);
        let samples = creates(seconds, connections).await?;
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        let rate = samples.len() as f64 / Duration::from_secs(seconds).as_secs_f64();
        slowest.push(percentile(&samples, 99) / raw);
        line(&format!("202, {connections} connections"), &format!("{rate:.0}/s"), samples);
        shares.push(rate / alone * 100.0);
    }
    line("202 of pgbench, median (P1: ≥ 100 %)", &format!("{:.0} %", median(&shares)), vec![]);
    line("their p99s, median (P1: ≤ 1.2)", &format!("{:.2}", median(&slowest)), vec![]);
    Ok(())
}

/// Returns the seconds of each accepted create.
async fn creates(seconds: u64, connections: u32) -> anyhow::Result<Vec<f64>> {
    let stack = Stack::unlimited().await;
    let requests = Arc::new(requests(&stack, &json!({"inputs": {"text": "hello"}})).await?);
    let gateway = stack.start(Service::Gateway).await;
    let address = gateway.url().trim_start_matches("http://").to_owned();
    let until = Instant::now() + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..connections as usize)
        .map(|number| {
            let (requests, address) = (Arc::clone(&requests), address.clone());
            tokio::spawn(async move {
                let mut connection = Connection::open(&address).await?;
                let (mut samples, mut at) = (Vec::new(), number * 31);
                while Instant::now() < until {
                    let sent = Instant::now();
                    let status = connection.send(&requests[at % ACCOUNTS]).await?;
                    anyhow::ensure!(status == 202, "the gateway answered {status}");
                    samples.push(sent.elapsed().as_secs_f64());
                    at += 1;
                }
                Ok(samples)
            })
        })
        .collect();
    let mut samples = Vec::new();
    for task in tasks {
        samples.extend(task.await??);
    }
    Ok(samples)
}

/// Returns one request for each account, as bytes, with these fields.
pub(crate) async fn requests(stack: &Stack, fields: &Value) -> anyhow::Result<Vec<Vec<u8>>> {
    let accounts = accounts::create(stack, ACCOUNTS).await?;
    let request = |account: &accounts::Account| {
        let mut body = fields.clone();
        body["appId"] = json!(account.app);
        let body = body.to_string();
        let mut request =
            String::from("POST /api/v1/runs HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n");
        let _ = write!(
            request,
            "authorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            account.key,
            body.len()
        );
        request.into_bytes()
    };
    Ok(accounts.iter().map(request).collect())
}
