//! Follows the log of one run: the events after a number, in order and without gaps, as they are recorded.
//! The streams of the API and of the console are views over it.

use std::sync::Arc;

use shared::db::Db;
use shared::ids::UserId;
use shared::queue::{ModelRequest, ModelWords};
use shared::runs::events::Event;
use shared::runs::{RunStatus, events::EventType};
use tokio::time::Instant;

use super::watch::{Watch, Woken};
use super::{RunRef, RunWatchers, events, get};
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
        Self { db: db.clone(), watch, user, run, after, step: Step::Read, held: None, heard: None }
    }

    /// The next step. Waits for a change of the run at most until `until`. A short outage of the database
    /// does not end the following.
    pub async fn next(&mut self, until: Instant) -> Result<Followed, Refusal> {
        loop {
            match self.step {
                Step::End => return Ok(Followed::Over),
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
                // On the heap: a stream that waits must not keep the memory of a statement.
                Step::Read => match Box::pin(self.read()).await {
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
                if words.request.seq > self.after + 1 {
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

    async fn read(&mut self) -> Result<Followed, Refusal> {
        if let Some(page) = self.page().await? {
            return Ok(page);
        }
        match self.status().await? {
            None => Ok(Followed::Deleted),
            // The run may have ended after the page was read.
            Some(status) if status.is_over() => {
                let rest = self.page().await?;
                self.step = if rest.is_none() { Step::End } else { self.step };
                Ok(rest.unwrap_or(Followed::Over))
            }
            Some(_) => {
                self.step = Step::Wait;
                Ok(Followed::UpToDate)
            }
        }
    }

    async fn page(&mut self) -> Result<Option<Followed>, Refusal> {
        let read = events::read_after(&self.db, self.run.run, self.after, EVENTS_AT_ONCE, BYTES_AT_ONCE);
        let page = read.await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = last.seq;
        // A run has one terminal event, and it is the last.
        if EventType::of(&last.r#type).is_some_and(EventType::is_terminal) {
            self.step = Step::End;
        }
        Ok(Some(Followed::Events(page)))
    }

    async fn status(&self) -> Result<Option<RunStatus>, Refusal> {
        match get::status(&self.db, self.user, self.run).await {
            Ok(status) => Ok(Some(status)),
            Err(Refusal::NotFound(_)) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}
