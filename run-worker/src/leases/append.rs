//! Appends events to the log of a run that this worker holds, and counts what they use of the account's
//! quotas.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Integer, Interval, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::config::Quotas;
use shared::db::{Connection, DbError, interval, statement};
use shared::ids::RunId;
use shared::runs::events::{self, EventData};
use shared::runs::{UsageDelta, contacted_hosts};

/// Takes the event numbers from `last_seq` in the statement that inserts, so that they have no gaps and
/// commit order is number order. The usage columns, the contacted hosts
/// and the artifacts repeat what the events hold.
macro_rules! append_sql {
    ($with:literal, $join:literal) => {
        concat!(
            "
WITH fenced AS (
    UPDATE runs SET last_seq = last_seq + cardinality($3), lease_expires_at = capi_now() + $5, losses = 0,
        input_tokens = input_tokens + $7, output_tokens = output_tokens + $8, steps = steps + $9,
        tool_calls = tool_calls + $10,
        cached_input_tokens = CASE WHEN $12::bigint IS NULL THEN cached_input_tokens
                              ELSE coalesce(cached_input_tokens, 0) + $12 END,
        reasoning_tokens = CASE WHEN $13::bigint IS NULL THEN reasoning_tokens
                           ELSE coalesce(reasoning_tokens, 0) + $13 END,
        contacted_hosts = CASE WHEN $11 = '{}' THEN contacted_hosts
                          ELSE merged_hosts_v1(contacted_hosts, $11) END
    WHERE id = $1 AND attempt = $2 AND status = 'running' AND lease_owner IS NOT NULL AND last_seq = $6
    RETURNING id, user_id, attempt, last_seq
), ",
            $with,
            "published AS (
    INSERT INTO artifacts (id, run_id, type, title, size, sha256)
    SELECT (e.data ->> 'id')::uuid, f.id, e.data ->> 'type', e.data ->> 'title', (e.data ->> 'size')::bigint,
        decode(e.data ->> 'sha256', 'hex')
    FROM fenced f, unnest($3, $4) AS e (type, data) WHERE e.type = 'artifact'
)
INSERT INTO run_events (run_id, seq, type, at, attempt, data)
SELECT f.id, f.last_seq - cardinality($3) + e.number, e.type, capi_now(), f.attempt, e.data
FROM fenced f, ",
            $join,
            "unnest($3, $4) WITH ORDINALITY AS e (type, data, number)"
        )
    };
}

const APPEND: &str = append_sql!("", "");

/// Also counts tokens and checks stored bytes, after the run's row is locked. Accounts without such quotas
/// need no common row for their runs.
const APPEND_COUNTED: &str = append_sql!(
    "counted AS MATERIALIZED (
    SELECT account_append_v1(f.user_id, $7::bigint + $8::bigint, $14, $15) AS done FROM fenced f
), ",
    "counted, "
);

/// Appends events after number `after` and renews the lease. Returns false for a stale write, and if the log
/// is longer than `after`. The latter happens when this statement was committed but its answer was lost.
pub async fn append(
    conn: &mut Connection,
    fence: (RunId, i32),
    after: i64,
    events: &[EventData],
    lease: Duration,
) -> Result<bool, DbError> {
    append_under(conn, fence, after, events, lease, &Quotas::default()).await
}

/// The same for an account with these quotas. Fails with [`DbError::is_over_quota`], and writes nothing, if
/// the artifacts among the events would exceed its stored bytes.
pub async fn append_under(
    conn: &mut Connection,
    (run, attempt): (RunId, i32),
    after: i64,
    events: &[EventData],
    lease: Duration,
    quotas: &Quotas,
) -> Result<bool, DbError> {
    let usage = UsageDelta::of(events);
    let tokens = if quotas.max_tokens_per_day.is_some() { usage.tokens() } else { 0 };
    let bytes = quotas.max_stored_bytes.map_or(0, |_| artifact_bytes(events));
    let is_counted = tokens > 0 || bytes > 0;
    let (types, data) = events::columns(events);
    let appending = statement(if is_counted { APPEND_COUNTED } else { APPEND })
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
        .bind::<Array<Text>, _>(contacted_hosts(events))
        .bind::<Nullable<BigInt>, _>(usage.cached_input_tokens)
        .bind::<Nullable<BigInt>, _>(usage.reasoning_tokens);
    let written = if is_counted {
        let most = i64::try_from(quotas.max_stored_bytes.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
        appending.bind::<BigInt, _>(bytes).bind::<BigInt, _>(most).execute(conn).await?
    } else {
        appending.execute(conn).await?
    };
    Ok(written == events.len())
}

fn artifact_bytes(events: &[EventData]) -> i64 {
    let sizes = events.iter().filter_map(|event| match event {
        EventData::Artifact(artifact) => Some(artifact.size),
        _ => None,
    });
    sizes.map(|size| i64::try_from(size).unwrap_or(i64::MAX)).fold(0, i64::saturating_add)
}
