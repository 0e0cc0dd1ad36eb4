//! Natural batching: calls that arrive while a call of their kind is in flight go out together, as one
//! statement. An idle process pays no delay: its calls go out alone, at once. A busy one shares commits,
//! locks and plans.
//!
//! Each call keeps its own result. A call that the set did not do (its row is locked), and every call of a
//! set that failed, is done again alone. So a bad row fails only itself. A panic fails only its set.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::db::DbError;

/// Calls in one set. Larger sets hold their locks longer and gain little.
pub const MAX_SET: usize = 64;
/// Bytes of a set, so that many large rows do not become one huge statement. One call may have more.
const MAX_SET_BYTES: usize = 1024 * 1024;
/// The most calls that are done alone at the same time, beside the sets.
const ALONE_AT_ONCE: usize = 6;
/// Calls with one [`SetCall::row`] are done alone one after the other. Two rows rarely share one of these.
const ROWS: usize = 64;

/// One kind of call.
pub trait SetCall: Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// One statement for all items. The answers are in the order of the items. `None`: not done, because
    /// another transaction has locked the row. The call is then done alone, beside the next sets. One item is
    /// a set too: the next calls must not wait for its lock.
    fn together(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Option<Self::Answer>>, DbError>> + Send;

    /// One statement for one item. It may wait for locks.
    fn alone(&self, item: &Self::Item) -> impl Future<Output = Result<Self::Answer, DbError>> + Send;

    /// A number of the row that the call for this item locks, if there is one. Calls that wait for the same
    /// row take one place: others need those that are left.
    fn row(&self, _item: &Self::Item) -> Option<u128> {
        None
    }

    /// The approximate size of an item in bytes.
    fn bytes(&self, _item: &Self::Item) -> usize {
        0
    }
}

struct Waiting<Call: SetCall> {
    item: Call::Item,
    answer: oneshot::Sender<Result<Call::Answer, DbError>>,
}

/// A handle to the task that sends the sets of one kind.
pub struct Batch<Call: SetCall> {
    calls: mpsc::Sender<Waiting<Call>>,
}

impl<Call: SetCall> Clone for Batch<Call> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone() }
    }
}

impl<Call: SetCall> Batch<Call> {
    /// Starts the task, which ends when all handles are dropped. At most `capacity` calls wait.
    #[must_use]
    pub fn start(name: &'static str, capacity: usize, call: Call) -> Self {
        let (calls, received) = mpsc::channel(capacity);
        tokio::spawn(send_sets(name, Arc::new(call), received));
        Self { calls }
    }

    /// Answers when the statement with this item has committed. Fails with [`DbError::QueueFull`] if too many
    /// calls wait, and with [`DbError::Timeout`] if a set panicked: it may be committed. If the
    /// future is dropped before the item's statement begins, the item is not written.
    pub async fn call(&self, item: Call::Item) -> Result<Call::Answer, DbError> {
        let (answer, answered) = oneshot::channel();
        self.calls.try_send(Waiting { item, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => DbError::QueueFull,
            // The process ends.
            TrySendError::Closed(_) => DbError::NotAnswering,
        })?;
        // A sender is dropped only by a panic.
        answered.await.unwrap_or(Err(DbError::Timeout))
    }
}

/// The places of calls that are done alone.
struct Places {
    all: Semaphore,
    rows: [Semaphore; ROWS],
}

impl Places {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            all: Semaphore::new(ALONE_AT_ONCE),
            rows: std::array::from_fn(|_| Semaphore::new(1)),
        })
    }

    async fn alone<Call: SetCall>(&self, call: &Call, waiting: Waiting<Call>) {
        // A call that waits for the one before it takes no place.
        let row = call.row(&waiting.item).and_then(|row| self.rows.get(index(row)));
        let _row = match row {
            Some(row) => row.acquire().await.ok(),
            None => None,
        };
        let _place = self.all.acquire().await;
        if !waiting.answer.is_closed() {
            let answer = call.alone(&waiting.item).await;
            let _ = waiting.answer.send(answer);
        }
    }
}

/// Which of the [`ROWS`].
fn index(row: u128) -> usize {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    let [byte, ..] = hasher.finish().to_le_bytes();
    usize::from(byte) % ROWS
}

/// Sends one set after the other until all handles are dropped and the queue is empty.
async fn send_sets<Call: SetCall>(
    name: &'static str,
    call: Arc<Call>,
    mut received: mpsc::Receiver<Waiting<Call>>,
) {
    let places = Places::new();
    let mut held_over = None;
    loop {
        let first = match held_over.take() {
            Some(first) => first,
            None => match received.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let (set, next) = collect(&*call, first, &mut received);
        held_over = next;
        if set.is_empty() {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "a set is small")]
        metrics::histogram!("capi_database_set_size", "call" => name).record(set.len() as f64);
        // A panic drops the senders of the set, and the next sets go on.
        let left = AssertUnwindSafe(send_set(name, &call, set)).catch_unwind().await;
        let left = left.unwrap_or_else(|_| {
            metrics::counter!("capi_database_sets_failed_total", "call" => name).increment(1);
            tracing::error!(call = name, "a set panicked");
            Vec::new()
        });
        for waiting in left {
            // Beside the next sets: this one may wait for a lock.
            let (call, places) = (Arc::clone(&call), Arc::clone(&places));
            tokio::spawn(async move { places.alone(&*call, waiting).await });
        }
    }
}

/// Returns a set, and the call that no longer fits into it. Calls whose callers have gone are left out.
fn collect<Call: SetCall>(
    call: &Call,
    first: Waiting<Call>,
    received: &mut mpsc::Receiver<Waiting<Call>>,
) -> (Vec<Waiting<Call>>, Option<Waiting<Call>>) {
    let (mut set, mut bytes, mut next) = (Vec::new(), 0, Some(first));
    while let Some(waiting) = next {
        if !waiting.answer.is_closed() {
            bytes += call.bytes(&waiting.item);
            if bytes > MAX_SET_BYTES && !set.is_empty() {
                return (set, Some(waiting));
            }
            set.push(waiting);
        }
        next = if set.len() < MAX_SET { received.try_recv().ok() } else { None };
    }
    (set, None)
}

/// Sends a set and answers its calls. Returns those that must be done alone.
async fn send_set<Call: SetCall>(
    name: &'static str,
    call: &Arc<Call>,
    set: Vec<Waiting<Call>>,
) -> Vec<Waiting<Call>> {
    let (items, answers): (Vec<_>, Vec<_>) =
        set.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
    let answered = call.together(&items).await;
    let calls = items.into_iter().zip(answers);
    match answered {
        Ok(given) => calls
            .zip(given)
            .filter_map(|((item, answer), given)| match given {
                Some(given) => answer.send(Ok(given)).err().and(None),
                None => Some(Waiting { item, answer }),
            })
            .collect(),
        Err(error) if error.is_away() || (calls.len() == 1 && !error.is_lock_timeout()) => {
            let error = Arc::new(error);
            for (_, answer) in calls {
                let _ = answer.send(Err(DbError::Shared(Arc::clone(&error))));
            }
            Vec::new()
        }
        Err(error) => {
            metrics::counter!("capi_database_sets_failed_total", "call" => name).increment(1);
            let calls_in_set = calls.len();
            tracing::warn!(%error, call = name, calls_in_set, "a set failed; doing its calls one by one");
            calls.map(|(item, answer)| Waiting { item, answer }).collect()
        }
    }
}

#[cfg(test)]
mod tests;
