//! Limits the waits and streams that a user holds open, exactly, over all gateways. A row per user stores
//! when each of them ends, as `rate_windows` stores requests. A stream renews its end. The waits of a gateway
//! that dies count until they would have ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Bool, Integer, Interval, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, Db, DbError, interval, statement};
use shared::ids::UserId;
use tracing::Instrument as _;

use crate::Refusal;

/// Open waits and streams of one user.
pub const MAX_OPEN_WAITS: usize = 20;

/// The time in which a wait must be counted, or it is refused.
const OPEN_DEADLINE: Duration = Duration::from_secs(2);

/// The time is read after the row is locked, as in accounts/rate_limit.rs.
const OPEN: &str = "
INSERT INTO open_waits AS w (user_id, ends, admitted) VALUES ($1, ARRAY[capi_now() + $2], true)
ON CONFLICT (user_id) DO UPDATE SET (ends, admitted) = (
    SELECT CASE WHEN cardinality(kept) < $3 THEN kept || (clock.at + $2) ELSE kept END, cardinality(kept) < $3
    FROM (SELECT capi_now() AS at OFFSET 0) clock,
         LATERAL (SELECT ARRAY(SELECT e FROM unnest(w.ends) e WHERE e > clock.at) AS kept OFFSET 0) pruned)
RETURNING admitted, ends[cardinality(ends)] AS until";

/// Removes one element, also if two waits end in the same microsecond.
const CLOSE: &str = "
UPDATE open_waits SET ends = ends[:array_position(ends, $2) - 1] || ends[array_position(ends, $2) + 1:]
WHERE user_id = $1 AND $2 = ANY (ends)";

/// Gives one element a later end.
const RENEW: &str = "
UPDATE open_waits
SET ends = ends[:array_position(ends, $2) - 1] || ends[array_position(ends, $2) + 1:] || (capi_now() + $3)
WHERE user_id = $1 AND $2 = ANY (ends)
RETURNING true AS admitted, ends[cardinality(ends)] AS until";

#[derive(QueryableByName)]
struct OpenedRow {
    #[diesel(sql_type = Bool)]
    admitted: bool,
    #[diesel(sql_type = Timestamptz)]
    until: DateTime<Utc>,
}

/// An open wait. Dropping it closes it.
pub struct OpenWait {
    db: Db,
    user: UserId,
    until: DateTime<Utc>,
}

/// Opens a wait of at most `length`.
pub async fn open(db: &Db, user: UserId, length: Duration) -> Result<OpenWait, Refusal> {
    let db = db.clone();
    // A task of its own: it closes the wait even if the client disconnects while the wait is being counted.
    let opening = async move {
        let opened = db.write(|mut conn| async move { insert(&mut conn, user, length).await }).await?;
        // Only an admitted wait may be made: dropping one closes one.
        Ok::<_, DbError>(opened.admitted.then(|| OpenWait { db, user, until: opened.until }))
    };
    let opening = tokio::spawn(opening.in_current_span());
    let opened = tokio::time::timeout(OPEN_DEADLINE, opening).await.map_err(|_| DbError::Timeout)?;
    let opened = opened.map_err(|error| Refusal::fault(&error))??;
    opened.ok_or(Refusal::TooManyWaits { limit: MAX_OPEN_WAITS })
}

async fn insert(conn: &mut Connection, user: UserId, length: Duration) -> Result<OpenedRow, DbError> {
    let row = statement(OPEN)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Interval, _>(interval(length))
        .bind::<Integer, _>(i32::try_from(MAX_OPEN_WAITS).unwrap_or(i32::MAX))
        .get_result(conn)
        .await?;
    Ok(row)
}

impl OpenWait {
    /// Lets it end `length` from now. Returns false if it no longer counts and there is no place for it: it
    /// ended before it was renewed, or the database crashed and lost it.
    pub async fn renew(&mut self, length: Duration) -> Result<bool, DbError> {
        let (user, until) = (self.user, self.until);
        let renewing = self.db.write(|mut conn| async move {
            let renewed: Option<OpenedRow> = statement(RENEW)
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Timestamptz, _>(until)
                .bind::<Interval, _>(interval(length))
                .load(&mut conn)
                .await?
                .pop();
            match renewed {
                Some(row) => Ok(row),
                None => insert(&mut conn, user, length).await,
            }
        });
        let row = renewing.await?;
        if row.admitted {
            self.until = row.until;
        }
        Ok(row.admitted)
    }
}

impl Drop for OpenWait {
    fn drop(&mut self) {
        let (db, user, until) = (self.db.clone(), self.user, self.until);
        // If this fails, the wait counts until its end.
        let task = async move {
            let closing = db.write(|mut conn| async move {
                let closed = statement(CLOSE)
                    .bind::<SqlUuid, _>(user.uuid())
                    .bind::<Timestamptz, _>(until)
                    .execute(&mut conn)
                    .await?;
                Ok(closed)
            });
            if let Err(error) = closing.await {
                tracing::warn!(%error, user_id = %user, "failed to close a wait; it counts until its end");
            }
        };
        tokio::spawn(task.in_current_span());
    }
}
