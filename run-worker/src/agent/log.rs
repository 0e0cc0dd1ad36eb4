//! The run's log under this attempt's hands: what is said is taken into the transcript at once, and recorded before anything
//! is done because of it. What nobody has acted on yet goes to the database together: with the next step, or with the end.

use shared::events::{self, NewEvent};

use super::Stopped;
use super::transcript::Transcript;
use crate::claim::{Claimed, append};
use crate::context::Context;
use crate::retry_on_outage::retry_on_outage;

pub(super) struct Log<'a> {
    context: &'a Context,
    claimed: &'a Claimed,
    transcript: Transcript,
    unrecorded: Vec<NewEvent>,
    last_seq: i64,
}

impl<'a> Log<'a> {
    /// As the attempts before this one left it. The first has nothing to read.
    pub(super) async fn open(context: &'a Context, claimed: &'a Claimed) -> Result<Self, Stopped> {
        let recorded = if claimed.attempt == 1 {
            Vec::new()
        } else {
            retry_on_outage(context, "to read the log", |mut conn| async move {
                events::read(&mut conn, claimed.id).await
            })
            .await?
        };
        let transcript =
            Transcript::rebuild(recorded.iter().map(|event| (event.r#type.as_str(), &event.data)));
        Ok(Self { context, claimed, transcript, unrecorded: Vec::new(), last_seq: claimed.last_seq })
    }

    pub(super) const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Takes an event, to be recorded with what follows.
    pub(super) fn say(&mut self, event: NewEvent) {
        self.transcript.apply(&event);
        self.unrecorded.push(event);
    }

    /// The number that the next event will have.
    pub(super) fn next_seq(&self) -> i64 {
        self.last_seq + 1 + i64::try_from(self.unrecorded.len()).unwrap_or(0)
    }

    /// Records what was said.
    pub(super) async fn record(&mut self) -> Result<(), Stopped> {
        if self.unrecorded.is_empty() {
            return Ok(());
        }
        let (context, fence, after, events) =
            (self.context, self.claimed.fence(), self.last_seq, &self.unrecorded);
        let lease = context.lease.lease();
        let written = retry_on_outage(context, "to record a step", |mut conn| async move {
            append(&mut conn, fence, after, events, lease).await
        });
        if !written.await? {
            return Err(Stopped::Fenced);
        }
        self.last_seq += i64::try_from(self.unrecorded.len()).unwrap_or(i64::MAX);
        self.unrecorded.clear();
        Ok(())
    }

    /// What is to be recorded with the run's end.
    pub(super) fn take_unrecorded(&mut self) -> Vec<NewEvent> {
        std::mem::take(&mut self.unrecorded)
    }
}
