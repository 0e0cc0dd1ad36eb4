//! RabbitMQ carries nudges: "here may be work". A lost one is repaired by a sweeper, a doubled one finds nothing to
//! do, so no failure of the broker loses or doubles anything.

use std::time::Duration;

mod consumer;
mod dead;
mod fanout;
mod handler;
mod message;
mod news;
mod publisher;
mod supervisor;
mod sweeper;
mod topology;

pub use consumer::consume;
pub use dead::{DeadLetter, DeadLetters, Requeued};
pub use fanout::listen;
pub use handler::Handler;
pub use message::{Nudge, UndecodableMessage};
pub use news::{Bucket, Exchange, Heard, News, Topic};
pub use publisher::Publisher;
pub use supervisor::{Broker, BrokerHealth};
pub use sweeper::sweep;
pub use topology::{Topology, Work};

/// What a broker session can end with; it always ends in a new connection.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The client library's word.
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
    /// The connection broke.
    #[error("the connection broke")]
    ConnectionLost,
    /// Nothing came back in time.
    #[error("no answer from the broker within {0:?} to {1}")]
    Timeout(Duration, &'static str),
    /// The broker took a message and did not route or store it.
    #[error("the broker did not take a message for {0}")]
    NotRouted(String),
    /// The broker ended a consumer, as it does when its queue is deleted.
    #[error("the broker ended the consumer of {0}")]
    ConsumerEnded(String),
    /// The code that handles a nudge failed; the message goes back to the queue with the connection.
    #[error("handling a message of {0} failed")]
    HandlerFailed(String),
}

/// How long the broker may take to answer. One that hangs, or is under a memory alarm, says nothing at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the broker answers, in time.
async fn answered<T>(
    what: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, QueueError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, call).await;
    Ok(answer.map_err(|_| QueueError::Timeout(ANSWER_TIMEOUT, what))??)
}
