//! The numbered log of a run. It feeds the thread, the webhooks and the resuming worker, so they cannot disagree.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use crate::db::{Connection, DbError, statement};
use crate::ids::RunId;

/// Events of one run that are read at most: more than any budget lets a run record.
const MAX_EVENTS: i64 = 10_000;

/// Bytes of a page of events; the event that passes it still belongs to it.
const PAGE_BYTES: i64 = 1 << 20;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// The gateway accepted the run.
    RunCreated,
    /// A worker claimed it for the first time.
    RunStarted,
    /// Another worker went on with it.
    RunTakenOver,
    /// Something said to the model, or by it.
    Message,
    /// A tool is about to be called.
    ToolCall,
    /// What it returned.
    ToolResult,
    /// A file was published.
    Artifact,
    /// capi itself said something to the model: to wrap up, to repair its answer.
    Note,
    /// Final: a result.
    RunCompleted,
    /// Final: an error.
    RunFailed,
    /// Final: ended by the owner.
    RunCancelled,
}

impl EventType {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::RunCreated,
        Self::RunStarted,
        Self::RunTakenOver,
        Self::Message,
        Self::ToolCall,
        Self::ToolResult,
        Self::Artifact,
        Self::Note,
        Self::RunCompleted,
        Self::RunFailed,
        Self::RunCancelled,
    ];

    /// As stored and as shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunCreated => "run.created",
            Self::RunStarted => "run.started",
            Self::RunTakenOver => "run.taken_over",
            Self::Message => "message",
            Self::ToolCall => "tool.call",
            Self::ToolResult => "tool.result",
            Self::Artifact => "artifact",
            Self::Note => "note",
            Self::RunCompleted => "run.completed",
            Self::RunFailed => "run.failed",
            Self::RunCancelled => "run.cancelled",
        }
    }
}

/// An event that has no number yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its kind.
    pub kind: EventType,
    /// Its content; clean text only.
    pub data: Value,
}

impl NewEvent {
    /// A message to or from the model.
    #[must_use]
    pub fn message(data: Value) -> Self {
        Self { kind: EventType::Message, data }
    }

    /// The content of `run.created`.
    #[must_use]
    pub fn created(source: &str) -> Value {
        json!({ "source": source })
    }
}

/// A recorded event.
#[derive(Debug, Clone, QueryableByName)]
pub struct Event {
    /// 1, 2, 3 … without gaps.
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    /// See [`EventType`].
    #[diesel(sql_type = Text)]
    pub r#type: String,
    /// When it was recorded.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// The attempt that recorded it; 0 is the gateway.
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    /// Its content.
    #[diesel(sql_type = Jsonb)]
    pub data: Value,
}

/// The events of a run in order.
pub async fn read(conn: &mut Connection, run: RunId) -> Result<Vec<Event>, DbError> {
    let sql = "SELECT seq, type, at, attempt, data FROM run_events WHERE run_id = $1 ORDER BY seq LIMIT $2";
    Ok(statement(sql).bind::<SqlUuid, _>(run.uuid()).bind::<BigInt, _>(MAX_EVENTS).load(conn).await?)
}

/// The events behind number `after`, in order: `limit` at most, and not many more bytes than a page has. None only where
/// there is none.
pub async fn read_after(
    conn: &mut Connection,
    run: RunId,
    after: i64,
    limit: i64,
) -> Result<Vec<Event>, DbError> {
    let sql = "
        SELECT seq, type, at, attempt, data FROM (
            SELECT e.seq, e.type, e.at, e.attempt, e.data,
                   sum(octet_length(e.data::text)) OVER (ORDER BY e.seq) - octet_length(e.data::text) AS before
            FROM (SELECT * FROM run_events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) e) page
        WHERE before < $4 ORDER BY seq";
    let events = statement(sql)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(limit)
        .bind::<BigInt, _>(PAGE_BYTES)
        .load(conn)
        .await?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_part_of_the_contract() {
        let listed: Vec<_> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
        insta::assert_snapshot!(listed.join(" "), @"run.created run.started run.taken_over message tool.call tool.result artifact note run.completed run.failed run.cancelled");
    }
}
