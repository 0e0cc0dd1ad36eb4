//! The conversation, and what was spent on it, as a pure function of the events. A new attempt continues with
//! exactly the conversation of the one before. The running attempt builds it in the same way, event by event,
//! so the two cannot differ.

mod texts;

use std::collections::{BTreeSet, VecDeque};

use model_client::{CONTENT_FILTER, LENGTH, Message, OVERSIZED, REPETITION, WINDOW_FULL};
use shared::ids::FileId;
use shared::runs::events::{
    EventData, FoundSource, LoggedAnswer, LoggedMessage, NoteKind, RequestedCall, StoredPicture,
    StoredSnapshot, ToolResult,
};

use super::budget::Spent;
use super::over_quota::OverQuota;
use super::pictures::LoadedPictures;
use super::published::Published;
use super::window::Estimate;
use super::{events, sources};
use crate::egress::Origin;

/// Finish reasons of an answer that is not whole. Such an answer is the last one, even if it requests calls.
/// Former versions recorded the last three.
const INCOMPLETE: [&str; 8] =
    [LENGTH, WINDOW_FULL, OVERSIZED, REPETITION, CONTENT_FILTER, "abort", "cancelled", "error"];

/// Whether an answer with this finish reason is not whole.
pub(super) fn is_incomplete(finish_reason: &str) -> bool {
    INCOMPLETE.contains(&finish_reason)
}

/// What the log says so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    messages: Vec<Message>,
    open: VecDeque<OpenCall>,
    finish_reason: String,
    spent: Spent,
    estimate: Estimate,
    notes: Vec<NoteKind>,
    artifacts: usize,
    has_native_calls: bool,
    snapshot: Option<StoredSnapshot>,
    over_quota: OverQuota,
    /// The positions of messages that the model cannot have written.
    sources: Vec<(usize, Origin)>,
    /// The positions of messages with pictures, and the files of these pictures.
    pictures: Vec<(usize, Vec<FileId>)>,
    /// The pictures that tools showed, by the ids of the calls.
    stored_pictures: Vec<(FileId, StoredPicture)>,
    contacted_hosts: BTreeSet<String>,
    /// The web pages that the calls found or read, in their order.
    pages: Vec<FoundSource>,
    published: Published,
}

/// A call without a result.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCall {
    pub call: RequestedCall,
    /// Its intent is in the log, so the tool may have begun.
    pub intended: bool,
}

/// The next action of a run.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// The log has no message yet.
    Begin,
    /// Ask the model.
    Ask,
    /// Call tools.
    Call,
    /// The model gave its last answer: whole, or cut.
    Answered,
}

impl Transcript {
    pub fn rebuild<'e>(events: impl IntoIterator<Item = &'e EventData>) -> Self {
        let mut transcript = Self::default();
        for event in events {
            transcript.apply(event);
        }
        transcript
    }

    /// Adds one event.
    pub fn apply(&mut self, event: &EventData) {
        match event {
            EventData::Message(logged) => {
                let message = events::message(logged);
                if let LoggedMessage::Assistant(answer) = logged {
                    self.add_answer(answer, message.bytes());
                } else {
                    self.sources.push((self.messages.len(), Origin::Given));
                }
                if let LoggedMessage::User { pictures, .. } = logged
                    && !pictures.is_empty()
                {
                    let files = pictures.iter().map(|picture| picture.file).collect();
                    self.pictures.push((self.messages.len(), files));
                }
                self.messages.push(message);
            }
            EventData::ToolCall(intent) => {
                for open in self.open.iter_mut().filter(|open| open.call.id == intent.call_id) {
                    open.intended = true;
                }
            }
            EventData::ToolResult(result) => {
                if let Some(snapshot) = &result.workspace {
                    self.snapshot = Some(snapshot.clone());
                }
                self.over_quota.add(result);
                self.contacted_hosts.extend(result.contacted_hosts.iter().cloned());
                self.close(result);
            }
            EventData::Artifact(artifact) => {
                self.artifacts += 1;
                self.spent.add_output(artifact.size);
                // An artifact has the id of its call.
                let publishing = self.open.iter().find(|open| open.call.id == artifact.id.uuid());
                if let Some(open) = publishing {
                    self.published.add(&open.call, &self.pages);
                }
            }
            EventData::Note(note) => {
                self.notes.push(note.kind.clone());
                self.messages.push(Message::user(note.text.clone()));
            }
            EventData::RunCreated(_)
            | EventData::RunStarted(_)
            | EventData::RunTakenOver(_)
            | EventData::RunCompleted {}
            | EventData::RunFailed(_)
            | EventData::RunCancelled {} => {}
        }
    }

    fn add_answer(&mut self, answer: &LoggedAnswer, bytes: usize) {
        self.over_quota.begin_step();
        self.spent.add_step(&answer.usage, answer.tool_calls.len());
        self.spent.add_output(bytes.try_into().unwrap_or(u64::MAX));
        if let Some(bytes) = answer.usage.request_bytes.filter(|_| !answer.usage.estimated) {
            self.estimate = self.estimate.with_count(answer.usage.input_tokens, bytes);
        }
        self.has_native_calls |= answer.tool_calls.iter().any(|call| !events::has_own_id(call));
        self.open =
            answer.tool_calls.iter().map(|call| OpenCall { call: call.clone(), intended: false }).collect();
        self.finish_reason.clone_from(&answer.finish_reason);
    }

    fn close(&mut self, result: &ToolResult) {
        if let Some(at) = self.open.iter().position(|open| open.call.id == result.call_id)
            && let Some(open) = self.open.remove(at)
        {
            let content = result.content.clone();
            self.spent.add_output(content.len().try_into().unwrap_or(u64::MAX));
            if let Some(origin) = sources::origin(&open.call, result) {
                self.sources.push((self.messages.len(), origin));
            }
            self.messages.push(Message::Tool { call: open.call.provider_id, content });
            if let Some(picture) = &result.picture {
                let id = FileId::from(result.call_id);
                self.pictures.push((self.messages.len(), vec![id]));
                self.stored_pictures.push((id, picture.clone()));
                self.messages.push(events::shown_picture(picture));
            }
            self.pages.extend(result.sources.iter().cloned());
        }
    }

    /// Adds the loaded pictures to the messages that show them. The log has only their names.
    pub(super) fn show(&mut self, loaded: &LoadedPictures) {
        for (at, files) in &self.pictures {
            if let Some(Message::User { pictures, .. }) = self.messages.get_mut(*at) {
                *pictures = files.iter().filter_map(|file| loaded.get(file).cloned()).collect();
            }
        }
    }

    /// The pictures that tools showed.
    pub(super) fn stored_pictures(&self) -> &[(FileId, StoredPicture)] {
        &self.stored_pictures
    }

    #[must_use]
    pub(super) fn has_pictures(&self) -> bool {
        !self.pictures.is_empty()
    }

    /// Whether a message shows this file.
    #[must_use]
    pub(super) fn shows(&self, file: FileId) -> bool {
        self.pictures.iter().any(|(_, files)| files.contains(&file))
    }

    #[must_use]
    pub fn next(&self) -> Next {
        match self.messages.last() {
            None => Next::Begin,
            Some(Message::Assistant { calls, .. }) if calls.is_empty() || self.is_incomplete() => {
                Next::Answered
            }
            _ if !self.open.is_empty() => Next::Call,
            _ => Next::Ask,
        }
    }

    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Calls without a result, in their order.
    #[must_use]
    pub fn open(&self) -> &VecDeque<OpenCall> {
        &self.open
    }

    #[must_use]
    pub const fn spent(&self) -> &Spent {
        &self.spent
    }

    /// The finish reason of the last answer.
    #[must_use]
    pub fn finish_reason(&self) -> &str {
        &self.finish_reason
    }

    /// Whether the last answer is not whole.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        is_incomplete(&self.finish_reason)
    }

    /// How many tokens the next request has.
    #[must_use]
    pub(super) const fn estimate(&self) -> &Estimate {
        &self.estimate
    }

    /// Whether the model's server finds calls itself, so that a call in a text is text. Calls that capi found
    /// have ids that capi made.
    pub(super) const fn has_native_calls(&self) -> bool {
        self.has_native_calls
    }

    /// Whether the run produced anything that an empty answer could close.
    #[must_use]
    pub fn has_something_to_show(&self) -> bool {
        self.artifacts > 0
    }

    #[must_use]
    pub fn has_note(&self, kind: &NoteKind) -> bool {
        self.notes.contains(kind)
    }

    /// The snapshot of the workspace after the last call that changed it.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&StoredSnapshot> {
        self.snapshot.as_ref()
    }

    /// How long the workspace has been over its limit.
    #[must_use]
    pub(super) const fn over_quota(&self) -> OverQuota {
        self.over_quota
    }

    /// The hosts that tool calls reached.
    #[must_use]
    pub const fn contacted_hosts(&self) -> &BTreeSet<String> {
        &self.contacted_hosts
    }

    /// How many files the run published.
    #[must_use]
    pub const fn artifacts(&self) -> usize {
        self.artifacts
    }
}

#[cfg(test)]
mod tests;
