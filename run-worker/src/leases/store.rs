//! The statements of a worker on its runs, and the fence that rejects stale writes.
//!
//! A worker that was suspended for longer than its lease still believes that it holds the run. Every write
//! therefore carries `attempt` and `status = 'running'`. A takeover increments the attempt and a cancel
//! changes the status, so a stale write matches no row.

use std::collections::HashSet;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Interval, Jsonb, Nullable, Text, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::apps::AppDefinition;
use shared::db::{Connection, DbError, interval, statement};
use shared::ids::{RunId, UserId};
use shared::runs::events::EventType;

use super::isolation::{
    FIRST_ISOLATED, LAST_BESIDE_OTHERS, MAX_DOUBLINGS, MAX_LOSSES, isolation, patience, probation,
};

/// The worker that claims, and the terms of its claims.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// The worker's name in rows and logs.
    pub worker: String,
    pub lease: Duration,
    /// The plans' caps on running runs, as `{plan: cap}`.
    pub caps: Value,
    /// The cap for accounts whose plan is not in `caps`.
    pub smallest_cap: i32,
    /// See [`super::isolation::suspects_at_once`].
    pub suspects_at_once: i32,
}

/// A run that this worker holds.
#[derive(Debug, Clone, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    pub id: RunId,
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    #[diesel(sql_type = BigInt)]
    pub last_seq: i64,
    #[diesel(sql_type = Integer)]
    pub losses: i32,
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    #[diesel(sql_type = Text)]
    pub plan: String,
    #[diesel(sql_type = Text)]
    pub chat_model_id: String,
    #[diesel(sql_type = Jsonb)]
    pub inputs: Value,
    #[diesel(sql_type = Jsonb)]
    pub definition: Value,
    /// Seconds since the first attempt started.
    #[diesel(sql_type = Double)]
    pub seconds_used: f64,
    /// The id of the request that created the run. Runs that a gateway of the former version created have
    /// none.
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
}

impl Claimed {
    /// The values that fence every write.
    #[must_use]
    pub fn fence(&self) -> (RunId, i32) {
        (self.id, self.attempt)
    }

    /// The app version that the run was created with.
    pub fn app(&self) -> serde_json::Result<AppDefinition> {
        serde_json::from_value(self.definition.clone())
    }
}

/// Claims the user's oldest pending run, if the cap of the user's plan allows one more.
pub async fn claim(conn: &mut Connection, by: &Claimant, user: UserId) -> Result<Option<Claimed>, DbError> {
    let sql =
        "SELECT id, attempt, last_seq, losses, user_id, plan, chat_model_id, inputs, definition, seconds_used,
                      run_request_id_v1(id) AS request_id
               FROM claim_run_v1($1, $2, $3, $4, $5)";
    let mut claimed: Vec<Claimed> = statement(sql)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Text, _>(&by.worker)
        .bind::<Interval, _>(interval(by.lease))
        .bind::<Jsonb, _>(&by.caps)
        .bind::<Integer, _>(by.smallest_cap)
        .load(conn)
        .await?;
    Ok(claimed.pop())
}

/// The losses of the run `r` after this takeover. `e` is its last event: for a suspect, its last takeover. A
/// lease that was given back has no owner and is no loss. The last loss must lie within the isolation: the
/// dead worker's last renewal was two thirds of a lease and a heartbeat before the lease's end. A run that no
/// worker could isolate in many attempts needs none.
macro_rules! losses_after {
    () => {
        "CASE
            WHEN r.lease_owner IS NULL THEN r.losses
            WHEN r.losses < $5 - 1 THEN r.losses + 1
            WHEN e.data ->> 'alone' IS NULL AND r.attempt >= $12 THEN r.losses + 1
            WHEN e.data ->> 'alone' = 'true' AND r.lease_expires_at - $2 * 2 / 3
                <= e.at + $8 * power(2, least(greatest(r.attempt - $10, 0), $11)) THEN r.losses + 1
            ELSE r.losses END"
    };
}

/// The cap is not checked: the run already counts as running. `isolation` says why the worker takes few
/// suspects at once, and a run whose next loss would be its last only if it holds nothing else. A run with
/// all its losses is not executed, so any worker may take it.
const TAKE_OVER: &str = concat!(
    "
WITH mine AS MATERIALIZED (
    SELECT count(*) AS held, count(e.at) AS suspects
    FROM runs r LEFT JOIN run_events e ON r.losses > 0 AND e.run_id = r.id AND e.seq = r.last_seq
        AND e.at > capi_now() - $7
    WHERE r.status = 'running' AND r.lease_owner = $1 AND r.lease_expires_at > capi_now()
), isolated AS (
    SELECT r.id, $5 - 1 AS losses, mine.held = 0 AS alone
    FROM runs r CROSS JOIN mine JOIN run_events e ON e.run_id = r.id AND e.seq = r.last_seq
    WHERE r.status = 'running' AND r.lease_expires_at <= capi_now() AND ",
    losses_after!(),
    " = $5 - 1 AND (mine.held = 0 OR r.lease_expires_at < capi_now() - $6)
    ORDER BY r.lease_expires_at LIMIT least($3, 1) FOR NO KEY UPDATE OF r SKIP LOCKED
), suspect AS (
    SELECT r.id, ",
    losses_after!(),
    " AS losses, false AS alone
    FROM runs r JOIN run_events e ON e.run_id = r.id AND e.seq = r.last_seq
    WHERE r.status = 'running' AND r.lease_expires_at <= capi_now() AND NOT EXISTS (SELECT 1 FROM isolated)
        AND (r.losses > 0 OR r.lease_owner IS NOT NULL) AND ",
    losses_after!(),
    " <> $5 - 1
    ORDER BY r.lease_expires_at LIMIT (SELECT least($3, greatest($9 - suspects, 0)) FROM mine)
    FOR NO KEY UPDATE OF r SKIP LOCKED
), given_back AS (
    SELECT id, 0 AS losses, false AS alone FROM runs
    WHERE status = 'running' AND lease_expires_at <= capi_now() AND lease_owner IS NULL AND losses = 0
        AND NOT EXISTS (SELECT 1 FROM isolated)
    ORDER BY lease_expires_at LIMIT $3 - (SELECT count(*) FROM suspect) FOR NO KEY UPDATE SKIP LOCKED
), expired AS (
    SELECT * FROM isolated UNION ALL SELECT * FROM suspect UNION ALL SELECT * FROM given_back
), taken AS (
    UPDATE runs r
    SET attempt = r.attempt + 1, losses = expired.losses, lease_owner = $1,
        lease_expires_at = capi_now() + $2, last_seq = r.last_seq + 1
    FROM expired WHERE r.id = expired.id
    RETURNING r.*, expired.alone
), logged AS (
    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT id, last_seq, $4, capi_now(), attempt, jsonb_build_object('worker', $1, 'losses', losses)
        || CASE WHEN alone THEN '{\"alone\": true}'::jsonb ELSE '{}' END
    FROM taken
)
SELECT t.id, t.attempt, t.last_seq, t.losses, t.user_id, u.plan, t.chat_model_id, t.inputs, v.definition,
       extract(epoch FROM capi_now() - t.started_at)::double precision AS seconds_used,
       t.request_id
FROM taken t JOIN users u ON u.id = t.user_id JOIN app_versions v ON v.id = t.app_version_id"
);

/// Takes over up to `limit` runs whose lease expired or was given back, oldest first.
pub async fn take_over(conn: &mut Connection, by: &Claimant, limit: i64) -> Result<Vec<Claimed>, DbError> {
    let taken = statement(TAKE_OVER)
        .bind::<Text, _>(&by.worker)
        .bind::<Interval, _>(interval(by.lease))
        .bind::<BigInt, _>(limit)
        .bind::<Text, _>(EventType::RunTakenOver.as_str())
        .bind::<Integer, _>(MAX_LOSSES)
        .bind::<Interval, _>(interval(patience(by.lease)))
        .bind::<Interval, _>(interval(probation(by.lease)))
        .bind::<Interval, _>(interval(isolation(by.lease, FIRST_ISOLATED)))
        .bind::<Integer, _>(by.suspects_at_once)
        .bind::<Integer, _>(FIRST_ISOLATED)
        .bind::<Integer, _>(MAX_DOUBLINGS)
        .bind::<Integer, _>(LAST_BESIDE_OTHERS)
        .load(conn)
        .await?;
    Ok(taken)
}

/// What [`renew`] found. A run in neither set is lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    pub kept: HashSet<RunId>,
    /// Another statement has locked the row: a step of the run, or a cancel. The state of the lease is
    /// unknown.
    pub locked: HashSet<RunId>,
}

#[derive(QueryableByName)]
struct RenewedRow {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = Bool)]
    kept: bool,
}

/// Skips locked rows: one row that a suspended process has locked must not cost the other runs their leases.
const RENEW: &str = "
WITH held AS (
    SELECT id, attempt FROM unnest($1, $2) AS held (id, attempt)
), free AS (
    SELECT r.id FROM runs r JOIN held h ON r.id = h.id AND r.attempt = h.attempt
    WHERE r.status = 'running' AND r.lease_owner IS NOT NULL
    FOR NO KEY UPDATE OF r SKIP LOCKED
), renewed AS (
    UPDATE runs r SET lease_expires_at = capi_now() + $3 FROM free WHERE r.id = free.id RETURNING r.id
)
SELECT r.id, n.id IS NOT NULL AS kept
FROM runs r JOIN held h ON r.id = h.id AND r.attempt = h.attempt LEFT JOIN renewed n ON n.id = r.id
WHERE r.status = 'running' AND r.lease_owner IS NOT NULL";

/// Renews leases in one statement.
pub async fn renew(
    conn: &mut Connection,
    held: &[(RunId, i32)],
    lease: Duration,
) -> Result<Renewed, DbError> {
    let (ids, attempts): (Vec<_>, Vec<_>) = held.iter().map(|(run, attempt)| (run.uuid(), *attempt)).unzip();
    let rows: Vec<RenewedRow> = statement(RENEW)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Integer>, _>(attempts)
        .bind::<Interval, _>(interval(lease))
        .load(conn)
        .await?;
    let mut renewed = Renewed::default();
    for row in rows {
        if row.kept {
            renewed.kept.insert(row.id)
        } else {
            renewed.locked.insert(row.id)
        };
    }
    Ok(renewed)
}

/// Gives a run back: the lease expires now and has no owner, so another worker takes the run over without a
/// loss.
pub async fn give_back(conn: &mut Connection, (run, attempt): (RunId, i32)) -> Result<bool, DbError> {
    let sql = "UPDATE runs SET lease_owner = NULL, lease_expires_at = capi_now()
               WHERE id = $1 AND attempt = $2 AND status = 'running'";
    let given =
        statement(sql).bind::<SqlUuid, _>(run.uuid()).bind::<Integer, _>(attempt).execute(conn).await?;
    Ok(given == 1)
}

/// Matches only a cancelled run, and only once. A run that was taken over belongs to its new worker.
const RECORD_RELEASE: &str = "
UPDATE runs SET released_at = capi_now()
WHERE id = $1 AND attempt = $2 AND status = 'cancelled' AND released_at IS NULL
RETURNING extract(epoch FROM released_at - completed_at)::double precision AS seconds";

#[derive(QueryableByName)]
struct ReleasedRow {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

/// Records that this worker released a cancelled run. Returns the seconds since the cancel, or `None` if the
/// run was not cancelled.
pub async fn record_cancel_release(
    conn: &mut Connection,
    (run, attempt): (RunId, i32),
) -> Result<Option<f64>, DbError> {
    let mut rows: Vec<ReleasedRow> = statement(RECORD_RELEASE)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Integer, _>(attempt)
        .load(conn)
        .await?;
    Ok(rows.pop().map(|row| row.seconds))
}
