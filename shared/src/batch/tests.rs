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
const PANICS: u32 = 17;
/// It panics if it is done alone.
const PANICS_ALONE: u32 = 19;
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
        assert!(!items.contains(&PANICS), "a panic of the test");
        if items.contains(&POISON) {
            return Err(refused());
        }
        let is_done = |item: u32| item != LOCKED && item != PANICS_ALONE;
        Ok(items.iter().map(|item| is_done(*item).then_some(item * 2)).collect())
    }

    async fn alone(&self, item: &u32) -> Result<u32, DbError> {
        self.alone.fetch_add(1, Ordering::Relaxed);
        assert!(*item != PANICS_ALONE, "a panic of the test");
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

#[tokio::test]
async fn a_panic_fails_its_set_and_the_next_sets_go_on() {
    let call = Arc::new(Doubling::default());
    call.released.notify_one();
    let batch = Batch::start("test", 10, Arc::clone(&call));
    assert!(matches!(batch.call(PANICS).await, Err(DbError::Timeout)), "it may be committed");
    assert_eq!(batch.call(2).await.unwrap(), 4);
    for _ in 0..2 * ALONE_AT_ONCE {
        assert!(matches!(batch.call(PANICS_ALONE).await, Err(DbError::Timeout)));
    }
    assert_eq!(batch.call(LOCKED).await.unwrap(), 14, "no place is lost");
}

/// Each item is left out of the sets. Items up to 99 wait for ever for row 1.
struct Locked(AtomicUsize);

impl SetCall for Arc<Locked> {
    type Item = u32;
    type Answer = u32;

    async fn together(&self, items: &[u32]) -> Result<Vec<Option<u32>>, DbError> {
        Ok(items.iter().map(|_| None).collect())
    }

    async fn alone(&self, item: &u32) -> Result<u32, DbError> {
        if *item < 100 {
            self.0.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        Ok(*item)
    }

    fn row(&self, item: &u32) -> Option<u128> {
        let other = (2..1000).find(|row| index(*row) != index(1));
        if *item < 100 { Some(1) } else { other }
    }
}

#[tokio::test]
async fn calls_that_wait_for_one_row_take_one_place() {
    let call = Arc::new(Locked(AtomicUsize::new(0)));
    let batch = Batch::start("test", 100, Arc::clone(&call));
    let mut stuck: Vec<_> = (0..50).map(|item| Box::pin(batch.call(item))).collect();
    for call in &mut stuck {
        assert!(futures_util::poll!(call).is_pending());
    }
    assert_eq!(batch.call(100).await.unwrap(), 100, "another row's call has a place");
    assert_eq!(AtomicUsize::load(&call.0, Ordering::Relaxed), 1);
}
