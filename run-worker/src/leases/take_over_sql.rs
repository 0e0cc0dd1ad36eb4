//! The statement that takes runs over.

use diesel::sql_types::{BigInt, Integer, Interval, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, interval, statement};
use shared::runs::events::EventType;
use uuid::Uuid;

use super::claim::{Claimant, Claimed};
use super::isolation::{
    FIRST_ISOLATED, LAST_BESIDE_OTHERS, MAX_DOUBLINGS, MAX_LOSSES, isolation, patience, probation,
};

/// The losses of the run `r` after this takeover. `e` is its last event: for a suspect, its last takeover. A
/// lease that was given back has no owner and is no loss. The last loss must lie within the isolation: the
/// worker died before its next renewal was due, and before the lease ended. Workers of the former version do
/// not write `counted_at` at a renewal. A run that no worker could isolate in many attempts needs none.
macro_rules! losses_after {
    () => {
        "CASE
            WHEN r.lease_owner IS NULL THEN r.losses
            WHEN r.losses < $5 - 1 THEN r.losses + 1
            WHEN e.data ->> 'alone' IS NULL AND r.attempt >= $12 THEN r.losses + 1
            WHEN e.data ->> 'alone' = 'true' AND least(r.lease_expires_at,
                    greatest(r.counted_at, r.lease_expires_at - $2) + $2 / 3)
                <= e.at + $8 * power(2, least(greatest(r.attempt - $10, 0), $11)) THEN r.losses + 1
            ELSE r.losses END"
    };
}

/// The cap is not checked: the run already counts as running. `isolation` says why the worker takes few
/// suspects at once, and a run whose next loss would be its last only if it holds nothing else. A run with
/// all its losses is not executed, so any worker may take it.
///
/// The time between the last renewal and the takeover does not count as worked. A worker of the former
/// version counts nothing, so the takeover counts for it.
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
    SET attempt = r.attempt + 1, losses = expired.losses, lease_owner = $1, lease_claim = $13,
        lease_expires_at = capi_now() + $2, last_seq = r.last_seq + 1, counted_at = capi_now(),
        worked_seconds = r.worked_seconds + CASE WHEN r.lease_claim IS NULL THEN worked_v1(r.counted_at,
            r.lease_expires_at - CASE WHEN r.lease_owner IS NULL THEN interval '0' ELSE $2 END,
            r.lease_expires_at) ELSE 0 END
    FROM expired WHERE r.id = expired.id
    RETURNING r.*, expired.alone
), logged AS (
    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT id, last_seq, $4, capi_now(), attempt, jsonb_build_object('worker', $1, 'losses', losses)
        || CASE WHEN alone THEN '{\"alone\": true}'::jsonb ELSE '{}' END
    FROM taken
)
SELECT t.id, t.attempt, t.lease_claim, t.last_seq, t.losses, t.user_id, u.plan, t.chat_model_id, t.inputs,
       v.definition, t.worked_seconds AS seconds_used, t.request_id
FROM taken t JOIN users u ON u.id = t.user_id JOIN app_versions v ON v.id = t.app_version_id"
);

/// Takes over up to `limit` runs whose lease expired or was given back, oldest first. `claim` must be a new
/// id.
pub async fn take_over(
    conn: &mut Connection,
    by: &Claimant,
    claim: Uuid,
    limit: i64,
) -> Result<Vec<Claimed>, DbError> {
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
        .bind::<SqlUuid, _>(claim)
        .load(conn)
        .await?;
    Ok(taken)
}
