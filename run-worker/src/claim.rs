//! Lease and fence: how a run becomes this worker's, stays so, and how a worker that lost it can change nothing.
//!
//! A worker that was stopped for longer than its lease and wakes up believes that the run is still its own. Every
//! write therefore carries `attempt` and `status = 'running'`: taking over counts the attempt up, a cancel changes
//! the status, and the sleeper's statement finds no row.

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
use shared::runs::UsageDelta;
use shared::runs::events::{self, EventData, EventType};

/// Who claims, and under which terms.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// This process, in rows and logs.
    pub worker: String,
    /// How long a claim holds.
    pub lease: Duration,
    /// `{plan: running runs}`.
    pub caps: Value,
    /// The cap of an account whose plan is not listed.
    pub smallest_cap: i32,
}

/// A run that is this worker's for now.
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
    /// Since the run was started for the first time.
    #[diesel(sql_type = Double)]
    pub seconds_used: f64,
    /// The id of the request that created the run. Runs that a gateway of the former version created have none.
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
}

impl Claimed {
    /// What fences every write.
    #[must_use]
    pub fn fence(&self) -> (RunId, i32) {
        (self.id, self.attempt)
    }

    /// The app's version that the run pins.
    pub fn app(&self) -> serde_json::Result<AppDefinition> {
        serde_json::from_value(self.definition.clone())
    }
}

/// Claims the user's oldest pending run, if his plan leaves a place.
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

/// An expired lease is a loss, one that was given back (no owner) is not. The cap is not asked: the run holds its
/// place already.
const TAKE_OVER: &str = "
WITH expired AS (
    SELECT id FROM runs WHERE status = 'running' AND lease_expires_at <= capi_now()
    ORDER BY lease_expires_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE runs r
    SET attempt = r.attempt + 1, losses = r.losses + CASE WHEN r.lease_owner IS NULL THEN 0 ELSE 1 END,
        lease_owner = $1, lease_expires_at = capi_now() + $2, last_seq = r.last_seq + 1
    FROM expired WHERE r.id = expired.id
    RETURNING r.*
), logged AS (
    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT id, last_seq, $4, capi_now(), attempt, jsonb_build_object('worker', $1, 'losses', losses) FROM taken
)
SELECT t.id, t.attempt, t.last_seq, t.losses, t.user_id, u.plan, t.chat_model_id, t.inputs, v.definition,
       extract(epoch FROM capi_now() - t.started_at)::double precision AS seconds_used,
       t.request_id
FROM taken t JOIN users u ON u.id = t.user_id JOIN app_versions v ON v.id = t.app_version_id";

/// Takes over up to `most` runs whose lease expired or was given back, oldest first.
pub async fn take_over(conn: &mut Connection, by: &Claimant, most: i64) -> Result<Vec<Claimed>, DbError> {
    let taken = statement(TAKE_OVER)
        .bind::<Text, _>(&by.worker)
        .bind::<Interval, _>(interval(by.lease))
        .bind::<BigInt, _>(most)
        .bind::<Text, _>(EventType::RunTakenOver.as_str())
        .load(conn)
        .await?;
    Ok(taken)
}

/// The numbers come from `last_seq` in the very statement that inserts: no gaps, and commit order is number order. Usage
/// and artifacts are the same events once more, as columns.
const APPEND: &str = "
WITH fenced AS (
    UPDATE runs SET last_seq = last_seq + cardinality($3), lease_expires_at = capi_now() + $5, losses = 0,
        input_tokens = input_tokens + $7, output_tokens = output_tokens + $8, steps = steps + $9, tool_calls = tool_calls + $10
    WHERE id = $1 AND attempt = $2 AND status = 'running' AND lease_owner IS NOT NULL AND last_seq = $6
    RETURNING id, attempt, last_seq
), published AS (
    INSERT INTO artifacts (id, run_id, type, title, size, sha256)
    SELECT (e.data ->> 'id')::uuid, f.id, e.data ->> 'type', e.data ->> 'title', (e.data ->> 'size')::bigint,
        decode(e.data ->> 'sha256', 'hex')
    FROM fenced f, unnest($3, $4) AS e (type, data) WHERE e.type = 'artifact'
)
INSERT INTO run_events (run_id, seq, type, at, attempt, data)
SELECT f.id, f.last_seq - cardinality($3) + e.number, e.type, capi_now(), f.attempt, e.data
FROM fenced f, unnest($3, $4) WITH ORDINALITY AS e (type, data, number)";

/// Records events behind number `after`, and renews the lease. False if the run is no longer this attempt's, or if the
/// log has gone on (as it has where this very statement was committed and its answer got lost): nothing was written.
pub async fn append(
    conn: &mut Connection,
    (run, attempt): (RunId, i32),
    after: i64,
    events: &[EventData],
    lease: Duration,
) -> Result<bool, DbError> {
    let usage = UsageDelta::of(events);
    let (types, data) = events::columns(events);
    let written = statement(APPEND)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Integer, _>(attempt)
        .bind::<Array<Text>, _>(types)
        .bind::<Array<Jsonb>, _>(data)
        .bind::<Interval, _>(interval(lease))
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(usage.input_tokens)
        .bind::<BigInt, _>(usage.output_tokens)
        .bind::<Integer, _>(usage.steps)
        .bind::<Integer, _>(usage.tool_calls)
        .execute(conn)
        .await?;
    Ok(written == events.len())
}

/// What a renewal found. What is in neither set is lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Renewed.
    pub kept: HashSet<RunId>,
    /// Somebody has the row just now: its own step, or a cancel. Nothing is known yet.
    pub locked: HashSet<RunId>,
}

#[derive(QueryableByName)]
struct RenewedRow {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = Bool)]
    kept: bool,
}

/// It waits for nobody: one row that a stopped process has locked must not cost the others their leases.
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

/// Renews all leases of the process in one statement.
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

/// Gives a run back: its lease ends now and has no owner, so that another worker takes it over without a loss.
pub async fn give_back(conn: &mut Connection, (run, attempt): (RunId, i32)) -> Result<bool, DbError> {
    let sql = "UPDATE runs SET lease_owner = NULL, lease_expires_at = capi_now()
               WHERE id = $1 AND attempt = $2 AND status = 'running'";
    let given =
        statement(sql).bind::<SqlUuid, _>(run.uuid()).bind::<Integer, _>(attempt).execute(conn).await?;
    Ok(given == 1)
}
