//! The statements of retention. Each is one statement, so a worker that is paused holds no locks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Interval, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Db, DbError, interval, statement};
use shared::ids::UserId;
use uuid::Uuid;

/// Whether this worker may delete.
#[derive(QueryableByName)]
pub(super) struct Turn {
    #[diesel(sql_type = Bool)]
    pub(super) taken: bool,
    /// The end of the last complete pass, in seconds since 1970. `None` before the first one.
    #[diesel(sql_type = Nullable<Double>)]
    pub(super) passed_at: Option<f64>,
}

/// The row is a lease instead of an advisory lock: a lock of the session would keep a connection while the
/// store is asked, and a lock of the transaction would end with each batch.
const TAKE_TURN: &str = "
WITH taken AS (
    UPDATE retention_state SET holder = $1, held_until = capi_now() + $2
    WHERE (holder = $1 OR held_until <= capi_now()) AND passed_at <= capi_now() - $3
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM taken) AS taken,
       CASE WHEN s.passed_at > 'epoch' THEN extract(epoch FROM s.passed_at)::double precision END AS passed_at
FROM retention_state s";

pub(super) async fn take_turn(
    db: &Db,
    worker: &str,
    turn: Duration,
    every: Duration,
) -> Result<Turn, DbError> {
    db.write(|mut conn| async move {
        Ok(statement(TAKE_TURN)
            .bind::<Text, _>(worker)
            .bind::<Interval, _>(interval(turn))
            .bind::<Interval, _>(interval(every))
            .get_result(&mut conn)
            .await?)
    })
    .await
}

/// Returns false if another worker has taken the turn.
pub(super) async fn keep_turn(db: &Db, worker: &str, turn: Duration) -> Result<bool, DbError> {
    let sql = "UPDATE retention_state SET held_until = capi_now() + $2 WHERE holder = $1";
    let kept = db.write(|mut conn| async move {
        let keeping = statement(sql).bind::<Text, _>(worker).bind::<Interval, _>(interval(turn));
        Ok(keeping.execute(&mut conn).await?)
    });
    Ok(kept.await? == 1)
}

pub(super) async fn end_turn(db: &Db, worker: &str) -> Result<(), DbError> {
    let sql = "UPDATE retention_state SET passed_at = capi_now(), held_until = capi_now() WHERE holder = $1";
    db.write(|mut conn| async move {
        statement(sql).bind::<Text, _>(worker).execute(&mut conn).await?;
        Ok(())
    })
    .await
}

/// An account of a plan with a retention.
#[derive(QueryableByName)]
pub(super) struct Account {
    #[diesel(sql_type = SqlUuid)]
    pub(super) id: UserId,
    /// What ended earlier is deleted.
    #[diesel(sql_type = Timestamptz)]
    before: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub(super) has_old_runs: bool,
    #[diesel(sql_type = Bool)]
    pub(super) has_old_lines: bool,
    /// Seconds since the oldest run that is over was created.
    #[diesel(sql_type = Nullable<Double>)]
    pub(super) oldest_age: Option<f64>,
}

impl Account {
    pub(super) const fn is_due(&self) -> bool {
        self.has_old_runs || self.has_old_lines
    }
}

/// Some index probes for each account. A day has 24 hours: the length of `interval '1 day'` depends on the
/// session's time zone.
const ACCOUNTS: &str = "
WITH page AS MATERIALIZED (
    SELECT u.id, capi_now() - ($1 ->> u.plan)::integer * interval '24 hours' AS before
    FROM users u WHERE u.id > $2 AND $1 ? u.plan ORDER BY u.id LIMIT $3
)
SELECT p.id, p.before, coalesce(oldest.created_at < p.before, false) AS has_old_runs,
       EXISTS (SELECT 1 FROM audit_log l WHERE l.user_id = p.id AND l.at < p.before) AS has_old_lines,
       extract(epoch FROM capi_now() - oldest.created_at)::double precision AS oldest_age
FROM page p LEFT JOIN LATERAL (
    SELECT r.created_at FROM runs r WHERE r.user_id = p.id AND r.completed_at IS NOT NULL
    ORDER BY r.created_at, r.id LIMIT 1) oldest ON true
ORDER BY p.id";

/// The next accounts after this id, at most `limit`.
pub(super) async fn accounts(
    db: &Db,
    days: &Value,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    db.read(|mut conn| async move {
        Ok(statement(ACCOUNTS)
            .bind::<Jsonb, _>(days)
            .bind::<SqlUuid, _>(after)
            .bind::<BigInt, _>(limit)
            .load(&mut conn)
            .await?)
    })
    .await
}

/// What one batch deleted.
#[derive(QueryableByName)]
pub(super) struct Deleted {
    #[diesel(sql_type = BigInt)]
    pub(super) runs: i64,
    #[diesel(sql_type = BigInt)]
    events: i64,
    #[diesel(sql_type = BigInt)]
    files: i64,
    #[diesel(sql_type = BigInt)]
    artifacts: i64,
    #[diesel(sql_type = BigInt)]
    deliveries: i64,
    /// The runs that had files or artifacts.
    #[diesel(sql_type = Array<SqlUuid>)]
    pub(super) stored: Vec<Uuid>,
}

impl Deleted {
    pub(super) fn count(&self) {
        let kinds = [
            ("run", self.runs),
            ("event", self.events),
            ("file", self.files),
            ("artifact", self.artifacts),
            ("delivery", self.deliveries),
        ];
        for (kind, count) in kinds {
            metrics::counter!("capi_retention_rows_deleted_total", "kind" => kind)
                .increment(count.unsigned_abs());
        }
    }
}

/// Deletes the account's oldest runs that are due, at most `limit`.
pub(super) async fn delete_runs(db: &Db, account: &Account, limit: i32) -> Result<Deleted, DbError> {
    let sql = "SELECT runs, events, files, artifacts, deliveries, stored FROM delete_old_runs_v1($1, $2, $3)";
    db.write(|mut conn| async move {
        Ok(statement(sql)
            .bind::<SqlUuid, _>(account.id.uuid())
            .bind::<Timestamptz, _>(account.before)
            .bind::<Integer, _>(limit)
            .get_result(&mut conn)
            .await?)
    })
    .await
}

/// Deletes the account's oldest audit lines that are due, at most `limit`. Returns their number.
pub(super) async fn delete_audit_lines(db: &Db, account: &Account, limit: i32) -> Result<u64, DbError> {
    const DELETE: &str = "
        DELETE FROM audit_log WHERE id = ANY (ARRAY(
            SELECT l.id FROM audit_log l WHERE l.user_id = $1 AND l.at < $2 ORDER BY l.at, l.id LIMIT $3
            FOR UPDATE SKIP LOCKED))";
    let deleting = db.write(|mut conn| async move {
        Ok(statement(DELETE)
            .bind::<SqlUuid, _>(account.id.uuid())
            .bind::<Timestamptz, _>(account.before)
            .bind::<BigInt, _>(i64::from(limit))
            .execute(&mut conn)
            .await?)
    });
    Ok(deleting.await?.try_into().unwrap_or(u64::MAX))
}
