//! The statements of retention. Each is one statement, so a worker that is paused holds no locks.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Db, DbError, statement};
use shared::ids::UserId;
use uuid::Uuid;

/// An account of a plan with a retention.
#[derive(QueryableByName)]
pub(super) struct Account {
    #[diesel(sql_type = SqlUuid)]
    pub(super) id: UserId,
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
SELECT p.id, coalesce(oldest.created_at < p.before, false) AS has_old_runs,
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
    /// Whether more may be due.
    #[diesel(sql_type = Bool)]
    pub(super) more: bool,
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

/// Deletes the account's oldest runs that are due by the plan that it has now.
pub(super) async fn delete_runs(
    db: &Db,
    days: &Value,
    user: UserId,
    (runs, events): (i32, i32),
) -> Result<Deleted, DbError> {
    let sql = "SELECT runs, events, files, artifacts, deliveries, stored, more
               FROM delete_old_runs_v2($1, $2, $3, $4)";
    db.write(|mut conn| async move {
        Ok(statement(sql)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Jsonb, _>(days)
            .bind::<Integer, _>(runs)
            .bind::<Integer, _>(events)
            .get_result(&mut conn)
            .await?)
    })
    .await
}

/// Deletes the account's oldest audit lines that are due by the plan that it has now, at most `limit`.
/// Returns their number.
pub(super) async fn delete_audit_lines(
    db: &Db,
    days: &Value,
    user: UserId,
    limit: i32,
) -> Result<u64, DbError> {
    const DELETE: &str = "
        DELETE FROM audit_log WHERE id = ANY (ARRAY(
            SELECT l.id FROM users u JOIN audit_log l ON l.user_id = u.id
            WHERE u.id = $1 AND l.at < capi_now() - ($2 ->> u.plan)::integer * interval '24 hours'
            ORDER BY l.at, l.id LIMIT $3
            FOR UPDATE OF l SKIP LOCKED))";
    let deleting = db.write(|mut conn| async move {
        Ok(statement(DELETE)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Jsonb, _>(days)
            .bind::<BigInt, _>(i64::from(limit))
            .execute(&mut conn)
            .await?)
    });
    Ok(deleting.await?.try_into().unwrap_or(u64::MAX))
}

/// Accounts whose stored bytes are not counted wholly, after this id, at most `limit`.
pub(super) async fn uncounted(db: &Db, after: Uuid, limit: i64) -> Result<Vec<UserId>, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        user_id: UserId,
    }
    let sql = "SELECT user_id FROM account_use WHERE counted_at < 'infinity' AND user_id > $1
               ORDER BY user_id LIMIT $2";
    db.read(|mut conn| async move {
        let finding = statement(sql).bind::<SqlUuid, _>(after).bind::<BigInt, _>(limit);
        let rows: Vec<Row> = finding.load(&mut conn).await?;
        Ok(rows.into_iter().map(|row| row.user_id).collect())
    })
    .await
}

/// Counts the stored bytes of so many further runs. Returns whether all runs of the account are counted.
pub(super) async fn count_stored_bytes(db: &Db, user: UserId, runs: i32) -> Result<bool, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        complete: bool,
    }
    let sql = "SELECT count_stored_bytes_v1($1, $2) AS complete";
    db.write(|mut conn| async move {
        let counting = statement(sql).bind::<SqlUuid, _>(user.uuid()).bind::<Integer, _>(runs);
        let row: Row = counting.get_result(&mut conn).await?;
        Ok(row.complete)
    })
    .await
}
