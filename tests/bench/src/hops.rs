//! The raw parts of P2, one at a time on an idle system: a commit, a message through a quorum queue, and a
//! request to the model over a new connection. Each is measured at once after the last one, and with a pause
//! before it: then the processors sleep and their caches are cold, as they are for a run on an idle system.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use diesel_async::RunQueryDsl;
use e2e::Stack;
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, ConnectionProperties};
use shared::db::statement;
use shared::queue::{Topology, WorkQueue};
use shared::testing::{ScriptedModel, TestQueues};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{line, median};

const EACH: usize = 300;
/// The first ones open files and fill caches.
const WARM_UP: usize = 30;
/// The size of a nudge.
const MESSAGE: [u8; 60] = [b'x'; 60];

/// Before a hop of an idle system. A run of the measurement takes as long.
const PAUSE: Duration = Duration::from_millis(10);

/// Prints the hops. Returns the median sum of those on the way of a run on an idle system, in seconds: the
/// commits of the accepted run, the claim and the first events, the message and the request.
pub(crate) async fn measure(stack: &Stack) -> anyhow::Result<f64> {
    hops(stack, "busy", Duration::ZERO).await?;
    hops(stack, "idle", PAUSE).await
}

async fn hops(stack: &Stack, how: &str, pause: Duration) -> anyhow::Result<f64> {
    let (commit, message, request) =
        (commits(stack, pause).await?, messages(pause).await?, requests(pause).await?);
    let sum = 3.0 * median(&commit) + median(&message) + median(&request);
    line(&format!("raw: commit of one row, {how}"), &EACH.to_string(), commit);
    line(&format!("raw: publish to consume, quorum queue, {how}"), &EACH.to_string(), message);
    line(&format!("raw: connect and ask the model, {how}"), &EACH.to_string(), request);
    Ok(sum)
}

async fn commits(stack: &Stack, pause: Duration) -> anyhow::Result<Vec<f64>> {
    let table = "CREATE TABLE IF NOT EXISTS bench_rows (id uuid PRIMARY KEY, at timestamptz)";
    stack.database.run_sql(table).await;
    let mut conn = stack.database.conn().await;
    let mut samples = Vec::new();
    for _ in 0..EACH + WARM_UP {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        statement("INSERT INTO bench_rows VALUES (gen_random_uuid(), now())").execute(&mut conn).await?;
        samples.push(begun.elapsed().as_secs_f64());
    }
    Ok(samples.split_off(WARM_UP))
}

async fn messages(pause: Duration) -> anyhow::Result<Vec<f64>> {
    let queues = TestQueues::create();
    let topology = Topology::new(&queues.prefix);
    let connection = lapin::Connection::connect(&queues.url, ConnectionProperties::default()).await?;
    let (publishing, consuming) = (connection.create_channel().await?, connection.create_channel().await?);
    topology.declare(&publishing).await?;
    publishing.confirm_select(ConfirmSelectOptions::default()).await?;
    let queue = topology.queue(WorkQueue::Runs);
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = consuming.basic_consume(queue.as_str().into(), "".into(), options, arguments).await?;
    let mut samples = Vec::new();
    for _ in 0..EACH + WARM_UP {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let sent =
            publishing.basic_publish("".into(), queue.as_str().into(), options, &MESSAGE, properties).await?;
        let delivery = consumer.next().await.context("the consumer was cancelled")??;
        samples.push(begun.elapsed().as_secs_f64());
        delivery.ack(BasicAckOptions::default()).await?;
        sent.await?;
    }
    Ok(samples.split_off(WARM_UP))
}

/// To the moment at which the model has the request.
async fn requests(pause: Duration) -> anyhow::Result<Vec<f64>> {
    let model = ScriptedModel::start().await;
    let models = model.models_file();
    let (_, address) = models.split_once("http://").context("the models file has an address")?;
    let (address, _) = address.split_once('/').context("the address has a path")?;
    let body = r#"{"model": "scripted", "messages": [{"role": "user", "content": "hop"}]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: model\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut sent = Vec::new();
    for _ in 0..EACH + WARM_UP {
        tokio::time::sleep(pause).await;
        sent.push(Instant::now());
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut Vec::new()).await?;
    }
    let asked = model.asked();
    anyhow::ensure!(asked.len() == sent.len(), "the model got {} requests", asked.len());
    let took = |(sent, (asked, _)): (&Instant, &(Instant, _))| asked.duration_since(*sent).as_secs_f64();
    let mut samples: Vec<_> = sent.iter().zip(&asked).map(took).collect();
    Ok(samples.split_off(WARM_UP))
}
