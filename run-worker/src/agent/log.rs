//! The log of the run, as this attempt reads and writes it. An event enters the transcript at once, and the
//! database before anything is done because of it. Events that nothing was done about yet are written
//! together: with the next step, or with the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use shared::runs::events::{self, Event, EventData};

use super::Stopped;
use super::pictures::LoadedPictures;
use super::transcript::Transcript;
use crate::context::Context;
use crate::leases::append::Append;
use crate::leases::store::Claimed;
use crate::retry_on_outage::{retry_call, retry_on_outage};

pub(super) struct Log<'a> {
    context: &'a Context,
    claimed: &'a Claimed,
    transcript: Transcript,
    unrecorded: Vec<EventData>,
    /// The number of the last recorded event. The end of the run needs it too, however the work ended.
    last_seq: &'a AtomicI64,
    /// Whether this attempt began as a suspect and recorded nothing yet.
    is_suspect: bool,
}

impl<'a> Log<'a> {
    /// Reads the log as earlier attempts left it. The first attempt has nothing to read.
    pub(super) async fn open(
        context: &'a Context,
        claimed: &'a Claimed,
        last_seq: &'a AtomicI64,
    ) -> Result<Self, Stopped> {
        let recorded = if claimed.attempt == 1 {
            Vec::new()
        } else {
            retry_on_outage(&context.db, context.lease, "read the log", |mut conn| async move {
                events::read(&mut conn, claimed.id).await
            })
            .await?
        };
        let recorded = recorded.into_iter().filter_map(|event| read(event).transpose());
        let transcript = Transcript::rebuild(&recorded.collect::<Result<Vec<_>, _>>()?);
        Ok(Self {
            context,
            claimed,
            transcript,
            unrecorded: Vec::new(),
            last_seq,
            is_suspect: claimed.losses > 0,
        })
    }

    pub(super) const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Adds an event. It is recorded together with what follows.
    pub(super) fn add(&mut self, event: EventData) {
        self.transcript.apply(&event);
        self.unrecorded.push(event);
    }

    /// Adds the loaded pictures to the messages that show them.
    pub(super) fn show(&mut self, pictures: &LoadedPictures) {
        self.transcript.show(pictures);
    }

    /// The number that the next event will have.
    pub(super) fn next_seq(&self) -> i64 {
        self.last_seq() + 1 + i64::try_from(self.unrecorded.len()).unwrap_or(0)
    }

    fn last_seq(&self) -> i64 {
        self.last_seq.load(Ordering::Relaxed)
    }

    /// Writes the added events to the database.
    pub(super) async fn record(&mut self) -> Result<(), Stopped> {
        if self.unrecorded.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.unrecorded);
        self.write(events).await
    }

    /// Adds events and writes them. Returns false, and adds nothing, if their artifacts would exceed the
    /// stored bytes of the account.
    pub(super) async fn record_if_stored_fits(&mut self, more: Vec<EventData>) -> Result<bool, Stopped> {
        let events = self.unrecorded.iter().chain(&more).cloned().collect();
        match self.write(events).await {
            Ok(()) => {}
            Err(Stopped::Database(error)) if error.is_over_quota() => return Ok(false),
            Err(stopped) => return Err(stopped),
        }
        self.unrecorded.clear();
        for event in &more {
            self.transcript.apply(event);
        }
        Ok(true)
    }

    /// Appends events to the run's log.
    async fn write(&mut self, events: Vec<EventData>) -> Result<(), Stopped> {
        let (context, count) = (self.context, i64::try_from(events.len()).unwrap_or(i64::MAX));
        let quotas = context.plans.quotas(&self.claimed.plan);
        let step = Arc::new(Append { fence: self.claimed.fence(), after: self.last_seq(), events, quotas });
        let write = || context.appends.call(Arc::clone(&step));
        if !retry_call(context.lease, "record a step", write).await? {
            return Err(Stopped::Fenced);
        }
        self.last_seq.fetch_add(count, Ordering::Relaxed);
        context.leases.tell_streams(self.claimed.id);
        if std::mem::take(&mut self.is_suspect) {
            context.leases.cleared(self.claimed.fence());
        }
        Ok(())
    }

    /// The events that are recorded with the run's end.
    pub(super) fn take_unrecorded(&mut self) -> Vec<EventData> {
        std::mem::take(&mut self.unrecorded)
    }
}

/// Returns `None` for an event that the agent does not need: one of an unknown type, or an unreadable one
/// about the run's state. An unreadable event of the conversation stops the attempt: without it the agent
/// could repeat what was done.
fn read(event: Event) -> Result<Option<EventData>, Stopped> {
    EventData::read(&event.r#type, event.data).or_else(|_| {
        // The error would quote what the event holds.
        tracing::warn!(seq = event.seq, r#type = event.r#type, "failed to read an event");
        if event.r#type.starts_with("run.") { Ok(None) } else { Err(Stopped::Unreadable { seq: event.seq }) }
    })
}
