//! Sends the messages for streams over a channel of their own. A failure costs only this channel: nudges in
//! flight go on.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::Connection;
use tokio::sync::mpsc;

use super::publisher::{confirming, send_to_topic};
use super::{Bucket, ModelWords, QueueError, Topic, Topology, WatchedRuns};

/// Messages that may wait. Further ones are dropped.
pub(super) const LIVE_BUFFER: usize = 256;
/// Messages in flight at once.
const LIVE_BATCH: usize = 32;
/// How soon a failed channel is opened again.
const RETRY: Duration = Duration::from_secs(1);

/// A message for streams.
pub(super) enum Live {
    Watched(WatchedRuns),
    Words(ModelWords),
}

/// Never returns: the session that has the connection decides when it ends.
pub(super) async fn publish_live(
    connection: &Connection,
    topology: &Topology,
    messages: &mut mpsc::Receiver<Live>,
) -> Infallible {
    loop {
        match publish_until_failure(connection, topology, messages).await {
            Ok(never) => return never,
            Err(error) => {
                tracing::warn!(%error, "failed to send messages for streams; opening another channel");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// A confirm bounds what the client library holds for a broker that takes nothing.
async fn publish_until_failure(
    connection: &Connection,
    topology: &Topology,
    messages: &mut mpsc::Receiver<Live>,
) -> Result<Infallible, QueueError> {
    let channel = confirming(connection).await?;
    // An exchange that was deleted may have failed the channel before.
    topology.declare(&channel).await?;
    let mut batch = Vec::with_capacity(LIVE_BATCH);
    loop {
        if messages.recv_many(&mut batch, LIVE_BATCH).await == 0 {
            // Every sender is gone.
            std::future::pending::<()>().await;
        }
        try_join_all(batch.drain(..).map(|message| {
            let (topic, body) = match message {
                Live::Watched(watched) => (Topic::Watched, watched.encode()),
                Live::Words(words) => (Topic::Words(Bucket::of(words.run)), words.encode()),
            };
            send_to_topic(&channel, topology, topic, body)
        }))
        .await?;
    }
}
