//! The public view of a run, one query: what GET answers and what a webhook carries, so that they agree.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Interval, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::state::RunStatus;
use crate::db::{Connection, DbError, interval, statement};
use crate::ids::{AppId, RunId, UserId};
use crate::storage::Links;

/// A run as the contract (docs/API.md) shows it.
#[derive(Debug, Clone, Serialize, QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    #[diesel(sql_type = SqlUuid)]
    pub id: RunId,
    #[diesel(sql_type = Text)]
    pub title: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = SqlUuid)]
    pub app_id: AppId,
    #[diesel(sql_type = Text)]
    pub app_name: String,
    #[diesel(sql_type = Integer)]
    pub app_version: i32,
    #[diesel(sql_type = Text)]
    pub source: String,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub api_key: Option<Value>,
    /// `None` where a list leaves it out.
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Value>,
    #[diesel(sql_type = Text)]
    pub chat_model_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub webhook_url: Option<String>,
    /// `None` leaves the field out, as a webhook's body does.
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Value>,
    #[diesel(sql_type = Array<Jsonb>)]
    pub files: Vec<Value>,
    #[diesel(sql_type = Jsonb)]
    pub metadata: Value,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub result: Option<Value>,
    #[diesel(sql_type = Array<Jsonb>)]
    pub artifacts: Vec<Value>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_code: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub error: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub pending: Option<Value>,
    #[diesel(sql_type = Jsonb)]
    pub usage: Value,
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    #[diesel(sql_type = Timestamptz)]
    #[serde(serialize_with = "millis")]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[serde(serialize_with = "optional_millis")]
    pub started_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[serde(serialize_with = "optional_millis")]
    pub completed_at: Option<DateTime<Utc>>,
    /// The number of the last event.
    #[diesel(sql_type = BigInt)]
    #[serde(skip)]
    pub last_seq: i64,
    /// The database's time of reading.
    #[diesel(sql_type = Timestamptz)]
    #[serde(skip)]
    pub read_at: DateTime<Utc>,
}

/// Runs ahead are counted up to this many: the answer must not grow slow with the backlog.
const AHEAD_COUNTED: i64 = 10_000;

/// Workers that have not reported for so long are not ready; they report three times as often.
pub const WORKERS_REPORT_WITHIN: Duration = Duration::from_secs(30);

/// `pending` says why a run waits: the user's places are taken, there is no worker, or none has come to it yet. `$3` holds the
/// plans' caps, `$4` the cap of an unknown plan. The line of those before it is only counted for pending runs; `$6` says whether inputs and results are wanted.
const LOAD: &str = r#"
WITH line AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY created_at, id) - 1 AS ahead
    FROM (SELECT id, created_at FROM runs WHERE user_id = $2 AND status = 'pending'
          AND EXISTS (SELECT 1 FROM runs p WHERE p.id = ANY ($1) AND p.status = 'pending')
          ORDER BY created_at, id LIMIT $5) waiting
)
SELECT r.id, r.title, r.status, r.app_id, a.name AS app_name, v.version AS app_version, r.source,
    CASE WHEN k.id IS NOT NULL THEN jsonb_build_object('id', k.id, 'name', k.name) END AS api_key,
    CASE WHEN $6 THEN r.inputs END AS inputs, r.chat_model_id, r.webhook_url,
    CASE WHEN r.webhook_url IS NULL THEN 'null'::jsonb
         ELSE jsonb_build_object('status', coalesce(d.status, 'pending'), 'deliveryId', d.id) END AS webhook,
    coalesce(given.files, ARRAY[]::jsonb[]) AS files, r.metadata, CASE WHEN $6 THEN r.result END AS result,
    coalesce(files.artifacts, ARRAY[]::jsonb[]) AS artifacts, r.error_code, r.error,
    CASE WHEN r.status = 'pending' THEN jsonb_build_object(
        'reason', CASE WHEN (SELECT count(*) FROM runs x WHERE x.user_id = $2 AND x.status = 'running')
                            >= coalesce(($3 ->> u.plan)::bigint, $4)
                       THEN 'user_concurrency_limit'
                       WHEN NOT EXISTS (SELECT 1 FROM workers w WHERE w.reported_at > capi_now() - $7) THEN 'no_worker_ready'
                       ELSE 'waiting_for_worker' END,
        'since', to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'ahead', coalesce(line.ahead, $5)) END AS pending,
    jsonb_build_object('inputTokens', r.input_tokens, 'outputTokens', r.output_tokens, 'steps', r.steps,
        'toolCalls', r.tool_calls) AS usage,
    r.attempt, r.created_at, r.started_at, r.completed_at, r.last_seq, capi_now() AS read_at
FROM runs r
JOIN users u ON u.id = r.user_id
JOIN apps a ON a.id = r.app_id
JOIN app_versions v ON v.id = r.app_version_id
LEFT JOIN api_keys k ON k.id = r.api_key_id
LEFT JOIN webhook_deliveries d ON d.run_id = r.id
LEFT JOIN line ON line.id = r.id
LEFT JOIN LATERAL (
    SELECT array_agg(jsonb_build_object('id', f.id, 'type', f.type, 'title', f.title, 'size', f.size,
        'sha256', encode(f.sha256, 'hex')) ORDER BY f.created_at, f.id) AS artifacts
    FROM artifacts f WHERE f.run_id = r.id) files ON true
LEFT JOIN LATERAL (
    SELECT array_agg(jsonb_build_object('name', g.name, 'type', g.type, 'size', g.size,
        'sha256', encode(g.sha256, 'hex')) ORDER BY g.name) AS files
    FROM run_files g WHERE g.run_id = r.id) given ON true
WHERE r.id = ANY ($1) AND r.user_id = $2
ORDER BY r.created_at DESC, r.id DESC"#;

/// The caps by plan that `pending.reason` is judged by.
#[derive(Debug, Clone)]
pub struct RunningCaps {
    /// `{plan: running runs}`.
    pub by_plan: Value,
    /// For a plan that is not listed.
    pub otherwise: i64,
}

/// Reads runs as they are shown.
pub struct Viewer {
    /// For `pending.reason`.
    pub caps: RunningCaps,
    /// Signs the artifacts' links.
    pub links: Links,
}

impl Viewer {
    /// The user's run of this id, if there is one.
    pub async fn load(
        &self,
        conn: &mut Connection,
        user: UserId,
        run: RunId,
    ) -> Result<Option<RunView>, DbError> {
        Ok(self.load_all(conn, user, &[run], true).await?.pop())
    }

    /// The user's runs of these ids, newest first; without inputs and results unless those are `wanted`.
    pub async fn load_all(
        &self,
        conn: &mut Connection,
        user: UserId,
        runs: &[RunId],
        wanted: bool,
    ) -> Result<Vec<RunView>, DbError> {
        let mut found: Vec<RunView> = statement(LOAD)
            .bind::<Array<SqlUuid>, _>(runs)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Jsonb, _>(&self.caps.by_plan)
            .bind::<BigInt, _>(self.caps.otherwise)
            .bind::<BigInt, _>(AHEAD_COUNTED)
            .bind::<Bool, _>(wanted)
            .bind::<Interval, _>(interval(WORKERS_REPORT_WITHIN))
            .load(conn)
            .await?;
        for run in &mut found {
            self.link(run);
        }
        Ok(found)
    }

    fn link(&self, run: &mut RunView) {
        for artifact in &mut run.artifacts {
            self.links.add_to(artifact, run.id, run.read_at);
        }
        if let Some(result) = &mut run.result {
            result["artifacts"] = run.artifacts.clone().into();
        }
    }
}

/// Where a run of the user's stands, within one app where `app` is given.
pub async fn status(
    conn: &mut Connection,
    user: UserId,
    app: Option<AppId>,
    run: RunId,
) -> Result<Option<RunStatus>, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        status: String,
    }
    let sql = "SELECT status FROM runs WHERE id = $1 AND user_id = $2 AND ($3 IS NULL OR app_id = $3)";
    let mut found: Vec<Row> = statement(sql)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
        .load(conn)
        .await?;
    Ok(found.pop().and_then(|row| row.status.parse().ok()))
}

/// RFC 3339, UTC, milliseconds: how every time in the contract is written.
#[must_use]
pub fn format_time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn millis<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_time(*at))
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn optional_millis<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => millis(at, serializer),
        None => serializer.serialize_none(),
    }
}
