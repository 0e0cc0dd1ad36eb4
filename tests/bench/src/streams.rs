//! P8: the time from an event to a watching stream, and what 5,000 open streams cost a gateway.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use e2e::{Process, Service, Stack};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use shared::time::Time;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::accounts::{self, Account};
use crate::line;
use crate::processes::{cpu_ms, memory_mb};

const STREAMS: usize = 5000;
/// The places of an account.
const PER_ACCOUNT: usize = 20;
/// Steps of the run whose events are timed. Each step has three events.
const STEPS: usize = 100;
/// How long the open streams are left alone before they are measured.
const SETTLE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);
const OPENS_AT_ONCE: usize = 20;
/// Tries of one stream: a busy gateway answers 503.
const TRIES: u32 = 20;
const AGAIN: Duration = Duration::from_millis(500);

pub(crate) async fn measure() -> anyhow::Result<()> {
    latency().await?;
    memory().await
}

async fn latency() -> anyhow::Result<()> {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools("[limits]\nsteps = 200\n").await;
    let step = json!({"wait": 20, "say": "tick", "call": [["current_time", "{}"]]});
    let mut steps = vec![step; STEPS];
    steps.push(json!({"say": "done"}));
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {}", Value::from(steps))}});
    let created = stack.post(&gateway, "/api/v1/runs", &body).await;
    let run = created.body["id"].as_str().context("a run")?.to_owned();
    let mut stream = stack.events(&gateway, &format!("/api/v1/runs/{run}/events"), None).await;
    let mut samples = Vec::new();
    while let Some(message) = stream.next().await {
        let at: Time = serde_json::from_value(message.data["at"].clone())?;
        let late = SystemTime::now().duration_since(at.0.into()).unwrap_or_default();
        samples.push(late.as_secs_f64());
    }
    // The clock of the events has milliseconds. The first events were recorded before the stream was open.
    let samples = samples.split_off(samples.len() / 10);
    line("event recorded to read from a stream", &format!("{} events", samples.len()), samples);
    Ok(())
}

async fn memory() -> anyhow::Result<()> {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let accounts = accounts::create(&stack, STREAMS / PER_ACCOUNT).await?;
    let before = memory_mb(&gateway);
    let begun = Instant::now();
    let mut open = Vec::new();
    let mut wanted = Vec::new();
    for account in &accounts {
        let run = create(&stack, &gateway, account).await?;
        wanted.extend((0..PER_ACCOUNT).map(|_| (account.key.clone(), run.clone())));
    }
    for part in wanted.chunks(OPENS_AT_ONCE) {
        let opening = part.iter().map(|(key, run)| open_patiently(&gateway, key, run));
        open.extend(try_join_all(opening).await?);
    }
    let opened = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let cpu = cpu_ms(&gateway);
    tokio::time::sleep(IDLE).await;
    let share = (cpu_ms(&gateway) - cpu) / IDLE.as_secs_f64() / 10.0;
    println!(
        "{:<50} {:.0} MB ({before:.0} MB before), {share:.1} % of a core, opened in {:.1} s",
        format!("{} open streams, one gateway", open.len()),
        memory_mb(&gateway),
        opened.as_secs_f64()
    );
    Ok(())
}

async fn create(stack: &Stack, gateway: &Process, account: &Account) -> anyhow::Result<String> {
    let body = json!({"appId": account.app, "inputs": {"text": "x"}});
    let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&account.key);
    let created = stack.send(request.json(&body)).await;
    Ok(created.body["id"].as_str().context("a run")?.to_owned())
}

async fn open_patiently(gateway: &Process, key: &str, run: &str) -> anyhow::Result<TcpStream> {
    for _ in 1..TRIES {
        match open_stream(gateway, key, run).await {
            Err(error) if error.to_string().starts_with("HTTP/1.1 503") => tokio::time::sleep(AGAIN).await,
            opened => return opened,
        }
    }
    open_stream(gateway, key, run).await
}

/// A stream whose first event was read.
async fn open_stream(gateway: &Process, key: &str, run: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(gateway.url().trim_start_matches("http://")).await?;
    let request = format!(
        "GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: capi\r\nAuthorization: Bearer {key}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.windows(11).any(|part| part == b"run.created") {
        ensure!(stream.read_buf(&mut answer).await? > 0, "the gateway closed the connection");
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(stream)
}
