//! RabbitMQ carries nudges (work-queue messages that hold only an id and a count), broadcasts, and the words
//! of models on their way to streams (`live`). A sweeper repairs lost nudges, and a doubled nudge finds no
//! work. So no failure of the broker loses or doubles a run or a delivery.
//!
//! A nudge goes from `publisher` (which merges what waits, see `outbox`) to `consumer` (which merges again,
//! see `incoming`) to a `Handler`.

use std::time::Duration;

mod backlog;
mod broadcasts;
mod calls;
mod coalesce;
mod consumer;
mod dead;
mod handler;
mod incoming;
mod live;
mod live_publisher;
mod message;
mod outbox;
mod publish;
mod publisher;
mod subscriber;
mod supervisor;
mod sweeper;
mod topology;

pub use broadcasts::{Broadcast, Bucket, Exchange, Received, Topic};
pub use consumer::consume;
pub use dead::{DeadLetter, DeadLetters, Requeued};
pub use handler::{Handled, Handler};
pub use live::{MAX_WORDS_BYTES, ModelRequest, ModelWords, WATCHED_AT_ONCE, WatchedRuns};
pub use message::{Nudge, Unread};
pub use publisher::Publisher;
pub use subscriber::subscribe;
pub use supervisor::{Broker, BrokerHealth};
pub use sweeper::sweep;
pub use topology::{Topology, WorkQueue};

/// Why a broker session failed. The supervisor then opens a new connection.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
    #[error("the connection to the broker is lost")]
    ConnectionLost,
    /// The broker does this when an exchange is deleted.
    #[error("the broker closed the channel of the broadcasts")]
    ChannelClosed,
    #[error("failed to {1}: no answer from the broker within {0:?}")]
    Timeout(Duration, &'static str),
    #[error("the broker did not route or store a message for {0}")]
    NotRouted(String),
    /// The broker does this when the queue is deleted.
    #[error("the broker cancelled the consumer of {0}")]
    ConsumerEnded(String),
    /// The handler panicked. The broker requeues the messages when the connection closes.
    #[error("failed to handle messages of {0}: the handler panicked")]
    HandlerFailed(&'static str),
}

/// How long the broker may take to answer. A broker that hangs or has a memory alarm does not answer at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Awaits an answer of the broker under [`ANSWER_TIMEOUT`]. `what` completes "failed to …".
async fn answered<T>(
    what: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, QueueError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, call).await;
    Ok(answer.map_err(|_| QueueError::Timeout(ANSWER_TIMEOUT, what))??)
}
