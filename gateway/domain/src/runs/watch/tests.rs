use shared::queue::{ModelRequest, WATCHED_AT_ONCE, WatchedRuns};
use tokio::time::Instant;

use super::*;

fn words(run: RunId, text: &str) -> ModelWords {
    let request = ModelRequest { seq: 3, attempt: 1, tries: 0 };
    ModelWords { run, request, step: 1, text: text.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_is_woken_by_a_nudge_by_a_late_bind_and_by_time() {
    let (live, run) = (RunWatchers::default(), RunId::generate());
    let (mut first, mut second) = (live.watch(run), live.stream(run, false));
    assert_eq!(*live.topics().borrow(), BTreeSet::from([Topic::Runs(Bucket::of(run))]));
    let begun = Instant::now();
    live.receive(Received::Broadcast(Broadcast::RunChanged(run)));
    assert!(matches!(first.woken().await, Woken::Changed));
    assert!(matches!(second.woken().await, Woken::Changed));
    live.receive(Received::Subscribed(Topic::Runs(Bucket::of(run))));
    first.woken().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    live.receive(Received::Broadcast(Broadcast::RunChanged(RunId::generate())));
    first.woken().await;
    assert_eq!(begun.elapsed(), FALLBACK, "a broadcast about another run wakes no watcher");
    drop(first);
    assert_eq!(live.lock().runs.len(), 1);
    drop(second);
    assert!(live.lock().runs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_poll_wakes_the_watchers_of_changed_and_deleted_runs() {
    let (live, run, begun) = (RunWatchers::default(), RunId::generate(), Instant::now());
    let mut watch = live.watch(run);
    let mut polls = async |last: Option<i64>| {
        live.compare(&[run, RunId::generate()], &last.map(|seq| (run, seq)).into_iter().collect());
        watch.woken().await;
        begun.elapsed()
    };
    assert_eq!(polls(Some(1)).await, Duration::ZERO, "the first poll");
    assert_eq!(polls(Some(2)).await, Duration::ZERO, "a new event");
    assert_eq!(polls(None).await, Duration::ZERO, "a deleted run");
    assert_eq!(polls(None).await, FALLBACK, "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn only_streams_that_want_words_get_them() {
    let (live, run) = (RunWatchers::default(), RunId::generate());
    let (mut wordless, mut stream) = (live.stream(run, false), live.stream(run, true));
    assert!(live.topics().borrow().contains(&Topic::Words(Bucket::of(run))));
    let begun = Instant::now();
    live.receive(Received::Words(words(RunId::generate(), "of another run")));
    live.receive(Received::Words(words(run, "Hello")));
    let Woken::Words(heard) = stream.woken().await else { panic!("no words") };
    assert_eq!((heard.text.as_str(), begun.elapsed()), ("Hello", Duration::ZERO));
    wordless.woken().await;
    assert_eq!(begun.elapsed(), FALLBACK);
    for number in 0..WORDS_WAITING + 5 {
        live.receive(Received::Words(words(run, &number.to_string())));
    }
    let Woken::Words(heard) = stream.woken().await else { panic!("no words") };
    assert_eq!(heard.text, "5", "the oldest words are dropped");
    drop(stream);
    assert_eq!(live.wanted_topics(), BTreeSet::from([Topic::Runs(Bucket::of(run))]));
}

#[test]
fn workers_are_told_of_runs_with_streams() {
    let live = RunWatchers::default();
    let (waited, streamed, spoken) = (RunId::generate(), RunId::generate(), RunId::generate());
    let _watches = (live.watch(waited), live.stream(streamed, false), live.stream(spoken, true));
    let expected = vec![WatchedRuns { events: vec![streamed], words: vec![spoken] }];
    assert_eq!(live.announcements(true), expected);
    assert_eq!(live.announcements(true), [], "each new one once");
    assert_eq!(live.announcements(false), expected, "and all again");
    let _many: Vec<_> = (0..WATCHED_AT_ONCE).map(|_| live.stream(RunId::generate(), false)).collect();
    let parts = live.announcements(false);
    assert_eq!(parts.len(), 2);
    assert_eq!(parts.iter().flat_map(WatchedRuns::all).count(), WATCHED_AT_ONCE + 2);
}
