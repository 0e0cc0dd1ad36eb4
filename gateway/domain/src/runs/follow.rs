//! Follows the log of one run: the events after a number, in order and without gaps, as they are recorded.
//! The streams of the API and of the console are views over it.

use std::sync::Arc;

use shared::db::Db;
use shared::ids::UserId;
use shared::queue::{ModelRequest, ModelWords};
use shared::runs::events::{Event, EventType};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::get::{self, Progress};
use super::watch::{Watch, Woken};
use super::{RunRef, RunWatchers, events};
use crate::Refusal;

/// The most events that are read at once.
const EVENTS_AT_ONCE: i64 = 200;
/// Bytes of the events that are read at once, and one long event. A client that does not read holds them in
/// memory.
const BYTES_AT_ONCE: i64 = 32 << 10;

/// One step of following a run.
#[derive(Debug)]
pub enum Followed {
    /// The next events.
    Events(Vec<Event>),
    /// Words of the answer that the model is giving. Some may be missing.
    Words {
        step: i32,
        text: String,
        /// They begin an answer, or what this reader gets of it: words before them are out of date.
        restart: bool,
    },
    /// Every recorded event was returned. The run may have changed otherwise.
    UpToDate,
    /// The run is over, and all its events were returned.
    Over,
    /// The run was deleted.
    Deleted,
    /// The given time came first.
    Waited,
}

/// What the next step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Read,
    Wait,
    /// Says that every event was returned.
    Tell,
    /// A read failed.
    Retry,
    End,
}

/// One reader of one run's log.
pub struct Follow {
    db: Db,
    watch: Watch,
    user: UserId,
    run: RunRef,
    after: i64,
    /// How far the run is, if that is farther than `after`.
    known: Option<Progress>,
    step: Step,
    /// Words that wait until the events before them are read.
    held: Option<Arc<ModelWords>>,
    /// The request to the model whose words were returned last.
    heard: Option<ModelRequest>,
}

impl Follow {
    /// Follows the user's run from the event after number `after` on, with the words of its model if `words`
    /// is set.
    #[must_use]
    pub fn new(
        db: &Db,
        watchers: &RunWatchers,
        (user, run): (UserId, RunRef),
        after: i64,
        words: bool,
    ) -> Self {
        // Subscribed before the first read, so that no change between the two is missed.
        let watch = watchers.stream(run.run, words);
        Self {
            db: db.clone(),
            watch,
            user,
            run,
            after,
            known: None,
            step: Step::Read,
            held: None,
            heard: None,
        }
    }

    /// The next step. Waits for a change of the run at most until `until`. A short outage of the database
    /// does not end the following.
    pub async fn next(&mut self, until: Instant) -> Result<Followed, Refusal> {
        loop {
            match self.step {
                Step::End => return Ok(Followed::Over),
                Step::Tell => {
                    self.step = Step::Wait;
                    return Ok(Followed::UpToDate);
                }
                Step::Wait => {
                    if let Some(words) = self.held.take().and_then(|words| self.hear(&words)) {
                        return Ok(words);
                    }
                    tokio::select! {
                        woken = self.watch.woken() => self.wake(woken),
                        () = tokio::time::sleep_until(until) => return Ok(Followed::Waited),
                    }
                }
                Step::Retry => tokio::select! {
                    () = self.watch.retry() => self.step = Step::Read,
                    () = tokio::time::sleep_until(until) => return Ok(Followed::Waited),
                },
                Step::Read => match self.read().await {
                    Ok(followed) => return Ok(followed),
                    Err(Refusal::Unavailable(_)) => self.step = Step::Retry,
                    Err(refusal) => return Err(refusal),
                },
            }
        }
    }

    fn wake(&mut self, woken: Woken) {
        match woken {
            Woken::Changed => self.step = Step::Read,
            Woken::Words(words) => {
                // The model is asked after the events before its answer are recorded.
                if words.request.seq > self.after.saturating_add(1) {
                    self.step = Step::Read;
                }
                self.held = Some(words);
            }
        }
    }

    /// The words, unless they are out of date: their answer was returned as an event, or the model was asked
    /// again.
    fn hear(&mut self, words: &ModelWords) -> Option<Followed> {
        if words.request.seq <= self.after || self.heard > Some(words.request) {
            return None;
        }
        let restart = self.heard.replace(words.request) != Some(words.request);
        Some(Followed::Words { step: words.step, text: words.text.clone(), restart })
    }

    /// Reads in a task of its own: a client that disconnects would take the statement's connection with it.
    async fn read(&mut self) -> Result<Followed, Refusal> {
        let (db, of, after, known) = (self.db.clone(), (self.user, self.run), self.after, self.known);
        let reading = async move { read(&db, of, after, known).await }.in_current_span();
        let read = tokio::spawn(reading).await.map_err(|error| Refusal::fault(&error))??;
        let Some(Read { progress, events }) = read else { return Ok(Followed::Deleted) };
        self.after = events.last().map_or(self.after, |last| last.seq);
        self.known = Some(progress).filter(|known| known.last_seq > self.after);
        let last_type = events.last().and_then(|last| EventType::of(&last.r#type));
        let is_over = progress.status.is_over() || last_type.is_some_and(EventType::is_terminal);
        self.step = match self.known {
            Some(_) => Step::Read,
            None if is_over => Step::End,
            // A change since the read has woken the watch already.
            None => Step::Tell,
        };
        if !events.is_empty() {
            return Ok(Followed::Events(events));
        }
        if self.step == Step::End {
            return Ok(Followed::Over);
        }
        self.step = Step::Wait;
        Ok(Followed::UpToDate)
    }
}

/// What one read found.
struct Read {
    progress: Progress,
    events: Vec<Event>,
}

/// Reads how far the run is, unless that is `known`, and then the events after number `after`. `None` if the
/// run was deleted.
async fn read(
    db: &Db,
    (user, run): (UserId, RunRef),
    after: i64,
    known: Option<Progress>,
) -> Result<Option<Read>, Refusal> {
    let progress = match known {
        Some(known) => known,
        None => match get::progress(db, user, run).await? {
            Some(progress) => progress,
            None => return Ok(None),
        },
    };
    if progress.last_seq <= after {
        return Ok(Some(Read { progress, events: Vec::new() }));
    }
    let events = events::read_after(db, run.run, after, EVENTS_AT_ONCE, BYTES_AT_ONCE).await?;
    // No events: the run was deleted meanwhile, as the next read will find.
    let last_seq = if events.is_empty() { after } else { progress.last_seq };
    Ok(Some(Read { progress: Progress { last_seq, ..progress }, events }))
}
