//! How many waits a user has open, exact over all gateways: a row per user with the ends of his waits, as
//! `rate_windows` has his requests. A gateway that dies leaves its waits there until they would have ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Bool, Integer, Interval, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, Db, DbError, interval, statement};
use shared::ids::UserId;

use crate::error::ApiError;

/// Open waits of one user.
const MAX_OPEN_WAITS: usize = 20;

/// A wait that cannot begin soon does not begin at all.
const TAKE_DEADLINE: Duration = Duration::from_secs(2);

/// The stamp is taken behind the row's lock, as in auth/admit.rs.
const TAKE: &str = "
INSERT INTO open_waits AS w (user_id, ends, admitted) VALUES ($1, ARRAY[capi_now() + $2], true)
ON CONFLICT (user_id) DO UPDATE SET (ends, admitted) = (
    SELECT CASE WHEN cardinality(kept) < $3 THEN kept || (clock.at + $2) ELSE kept END, cardinality(kept) < $3
    FROM (SELECT capi_now() AS at OFFSET 0) clock,
         LATERAL (SELECT ARRAY(SELECT e FROM unnest(w.ends) e WHERE e > clock.at) AS kept OFFSET 0) pruned)
RETURNING admitted, ends[cardinality(ends)] AS until";

/// One of them, should two waits end at the same microsecond.
const RELEASE: &str = "
UPDATE open_waits SET ends = ends[:array_position(ends, $2) - 1] || ends[array_position(ends, $2) + 1:]
WHERE user_id = $1 AND $2 = ANY (ends)";

#[derive(QueryableByName)]
struct TakenRow {
    #[diesel(sql_type = Bool)]
    admitted: bool,
    #[diesel(sql_type = Timestamptz)]
    until: DateTime<Utc>,
}

/// An open wait; its place is free again when it is dropped.
pub struct Place {
    db: Db,
    user: UserId,
    until: DateTime<Utc>,
}

/// Takes a place for a wait of at most `length`.
pub async fn take_place(db: &Db, user: UserId, length: Duration) -> Result<Place, ApiError> {
    let db = db.clone();
    // In a task of its own: a client that hangs up while it is taken leaves it to nobody but the task, which lets it go.
    let taking = actix_web::rt::spawn(async move {
        let taken = db.write(|mut conn| async move { take(&mut conn, user, length).await }).await?;
        // Made only where it was taken: dropping it lets one go.
        Ok::<_, DbError>(taken.admitted.then(|| Place { db, user, until: taken.until }))
    });
    let taken = tokio::time::timeout(TAKE_DEADLINE, taking).await.map_err(|_| DbError::Timeout)?;
    let place = taken.map_err(|_| ApiError::Internal)??;
    place.ok_or(ApiError::TooManyStreams { limit: MAX_OPEN_WAITS })
}

async fn take(conn: &mut Connection, user: UserId, length: Duration) -> Result<TakenRow, DbError> {
    let row = statement(TAKE)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Interval, _>(interval(length))
        .bind::<Integer, _>(i32::try_from(MAX_OPEN_WAITS).unwrap_or(i32::MAX))
        .get_result(conn)
        .await?;
    Ok(row)
}

impl Drop for Place {
    fn drop(&mut self) {
        let (db, user, until) = (self.db.clone(), self.user, self.until);
        // Also where the client hung up; unreleased, it ends by itself.
        tokio::spawn(async move {
            let releasing = db.write(|mut conn| async move {
                let released = statement(RELEASE)
                    .bind::<SqlUuid, _>(user.uuid())
                    .bind::<Timestamptz, _>(until)
                    .execute(&mut conn)
                    .await?;
                Ok(released)
            });
            if let Err(error) = releasing.await {
                tracing::warn!(%error, user_id = %user, "an open wait is not let go; it ends by itself");
            }
        });
    }
}
