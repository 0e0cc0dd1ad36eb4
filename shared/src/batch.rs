//! Natural batching: calls that arrive while a call of their kind is in flight go out together, as one
//! statement. An idle process pays no delay: its calls go out alone, at once. A busy one shares commits,
//! locks and plans.
//!
//! Each call keeps its own result. A call that the set did not do (its row is locked), and every call of a
//! set that failed, is done again alone. So a bad row fails only itself.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::db::DbError;

/// Calls in one set. Larger sets hold their locks longer and gain little.
pub const MAX_SET: usize = 64;
/// Bytes of a set, so that many large rows do not become one huge statement. One call may have more.
const MAX_SET_BYTES: usize = 1024 * 1024;
/// The most calls that are done alone at the same time, beside the sets.
const ALONE_AT_ONCE: usize = 4;

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
    /// calls wait. If the future is dropped before the item's statement begins, the item is not written.
    pub async fn call(&self, item: Call::Item) -> Result<Call::Answer, DbError> {
        let (answer, answered) = oneshot::channel();
        self.calls.try_send(Waiting { item, answer }).map_err(|_| DbError::QueueFull)?;
        // The task drops a sender only if it panics.
        answered.await.unwrap_or(Err(DbError::Timeout))
    }
}

/// Sends one set after the other until all handles are dropped and the queue is empty.
async fn send_sets<Call: SetCall>(
    name: &'static str,
    call: Arc<Call>,
    mut received: mpsc::Receiver<Waiting<Call>>,
) {
    let places = Arc::new(Semaphore::new(ALONE_AT_ONCE));
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
        for waiting in send_set(name, &call, set).await {
            // Beside the next sets: this one may wait for a lock.
            let (call, places) = (Arc::clone(&call), Arc::clone(&places));
            tokio::spawn(async move {
                let _place = places.acquire_owned().await;
                if !waiting.answer.is_closed() {
                    let answer = call.alone(&waiting.item).await;
                    let _ = waiting.answer.send(answer);
                }
            });
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
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// Doubles numbers. The first set waits until it is released. 13 is poison, 7 is always locked.
    #[derive(Default)]
    struct Doubling {
        sets: Mutex<Vec<Vec<u32>>>,
        released: Notify,
        alone: AtomicUsize,
    }

    const POISON: u32 = 13;
    const LOCKED: u32 = 7;

    fn refused() -> DbError {
        DbError::Query(diesel::result::Error::NotFound)
    }

    impl SetCall for Arc<Doubling> {
        type Item = u32;
        type Answer = u32;

        async fn together(&self, items: &[u32]) -> Result<Vec<Option<u32>>, DbError> {
            let sets = {
                let mut sets = self.sets.lock().unwrap();
                sets.push(items.to_vec());
                sets.len()
            };
            if sets == 1 {
                self.released.notified().await;
            }
            if items.contains(&POISON) {
                return Err(refused());
            }
            Ok(items.iter().map(|item| (*item != LOCKED).then_some(item * 2)).collect())
        }

        async fn alone(&self, item: &u32) -> Result<u32, DbError> {
            self.alone.fetch_add(1, Ordering::Relaxed);
            if *item == POISON { Err(refused()) } else { Ok(item * 2) }
        }

        fn bytes(&self, item: &u32) -> usize {
            *item as usize
        }
    }

    /// Sends these items while the first one, 1, is in flight.
    async fn send_behind_the_first(items: &[u32]) -> (Vec<Option<u32>>, Arc<Doubling>) {
        let call = Arc::new(Doubling::default());
        let batch = Batch::start("test", 100, Arc::clone(&call));
        let all: Vec<_> = [1].iter().chain(items).copied().collect();
        let (first, rest) = all.split_first().unwrap();
        let begin = {
            let batch = batch.clone();
            let first = *first;
            tokio::spawn(async move { batch.call(first).await })
        };
        while call.sets.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let calls: Vec<_> = rest
            .iter()
            .map(|item| {
                let (batch, item) = (batch.clone(), *item);
                tokio::spawn(async move { batch.call(item).await })
            })
            .collect();
        while batch.calls.capacity() > 100 - rest.len() {
            tokio::task::yield_now().await;
        }
        call.released.notify_one();
        assert_eq!(begin.await.unwrap().unwrap(), 2);
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap().ok());
        }
        (answers, call)
    }

    #[tokio::test]
    async fn what_waits_goes_out_as_one_set() {
        let (answers, call) = send_behind_the_first(&[2, 3, 4]).await;
        assert_eq!(answers, [Some(4), Some(6), Some(8)]);
        assert_eq!(*call.sets.lock().unwrap(), [vec![1], vec![2, 3, 4]]);
        assert_eq!(call.alone.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_poison_row_fails_alone_and_a_locked_row_is_done_alone() {
        let (answers, _) = send_behind_the_first(&[2, POISON, 4]).await;
        assert_eq!(answers, [Some(4), None, Some(8)]);
        let (answers, call) = send_behind_the_first(&[2, LOCKED, 4]).await;
        assert_eq!(answers, [Some(4), Some(14), Some(8)]);
        assert_eq!(call.alone.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_set_is_bounded() {
        let items: Vec<_> = (100..100 + 70).collect();
        let (answers, call) = send_behind_the_first(&items).await;
        assert!(answers.iter().all(Option::is_some));
        let sizes: Vec<_> = call.sets.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, MAX_SET, 70 - MAX_SET]);
        let half = u32::try_from(MAX_SET_BYTES / 2 + 1).unwrap();
        let (answers, call) = send_behind_the_first(&[half, half, 2, 3]).await;
        assert!(answers.iter().all(Option::is_some));
        assert_eq!(*call.sets.lock().unwrap(), [vec![1], vec![half], vec![half, 2, 3]]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_call_whose_caller_has_gone_is_left_out() {
        let call = Arc::new(Doubling::default());
        let batch = Batch::start("test", 2, Arc::clone(&call));
        let first = {
            let batch = batch.clone();
            tokio::spawn(async move { batch.call(1).await })
        };
        while call.sets.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let (gone, kept) = (batch.call(2), batch.call(3));
        let (mut gone, mut kept) = (Box::pin(gone), Box::pin(kept));
        assert!(futures_util::poll!(&mut gone).is_pending() && futures_util::poll!(&mut kept).is_pending());
        assert!(matches!(batch.call(4).await, Err(DbError::QueueFull)));
        drop(gone);
        call.released.notify_one();
        assert_eq!((first.await.unwrap().unwrap(), kept.await.unwrap()), (2, 6));
        assert_eq!(*call.sets.lock().unwrap(), [vec![1], vec![3]], "one call was left");
    }
}
