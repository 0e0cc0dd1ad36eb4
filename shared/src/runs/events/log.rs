//! Reads the recorded events of a run.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::EventData;
use crate::db::{Connection, DbError, statement};
use crate::ids::RunId;

/// The most events of one run that are read at once: no budget lets a run record so many.
const MAX_EVENTS: i64 = 10_000;

/// A recorded event.
#[derive(Debug, Clone, QueryableByName)]
pub struct Event {
    /// 1, 2, 3 … without gaps.
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    #[diesel(sql_type = Text)]
    pub r#type: String,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// The attempt that recorded the event; 0 is the gateway.
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    /// As stored; [`Event::read`] gives it its type.
    #[diesel(sql_type = Jsonb)]
    pub data: Value,
}

impl Event {
    /// See [`EventData::read`].
    pub fn read(&self) -> serde_json::Result<Option<EventData>> {
        EventData::read(&self.r#type, self.data.clone())
    }
}

/// The events of a run in order.
pub async fn read(conn: &mut Connection, run: RunId) -> Result<Vec<Event>, DbError> {
    let sql = "SELECT seq, type, at, attempt, data FROM run_events WHERE run_id = $1 ORDER BY seq LIMIT $2";
    Ok(statement(sql).bind::<SqlUuid, _>(run.uuid()).bind::<BigInt, _>(MAX_EVENTS).load(conn).await?)
}

/// The events after number `after`, in order: at most `limit`, and not many more than `bytes`: the event that
/// exceeds them is still part of the page. The page is empty only if no such event exists.
pub async fn read_after(
    conn: &mut Connection,
    run: RunId,
    after: i64,
    limit: i64,
    bytes: i64,
) -> Result<Vec<Event>, DbError> {
    // Event by event: the length of one is only known once it is read as a whole.
    let sql = "
        WITH RECURSIVE page (n, bytes, seq, type, at, attempt, data) AS (
            SELECT 0::bigint, 0::bigint, $2, NULL::text, NULL::timestamptz, NULL::integer, NULL::jsonb
            UNION ALL
            SELECT page.n + 1, page.bytes + octet_length(e.data::text), e.seq, e.type, e.at, e.attempt, e.data
            FROM page, LATERAL (
                SELECT * FROM run_events WHERE run_id = $1 AND seq > page.seq ORDER BY seq LIMIT 1) e
            WHERE page.n < $3 AND page.bytes < $4)
        SELECT seq, type, at, attempt, data FROM page WHERE n > 0 ORDER BY seq";
    let events = statement(sql)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(limit)
        .bind::<BigInt, _>(bytes)
        .load(conn)
        .await?;
    Ok(events)
}
