//! Loads runs as the contract shows them. GET, lists, the console and webhooks share the columns, so they
//! agree.

mod files;
mod shape;
mod source;
#[cfg(test)]
mod tests;
mod webhook;

pub use files::{GivenFile, ShownArtifact};
pub use shape::{Pending, RunLinks, RunView, ShownError, ShownResult, Source, Usage, UsedKey};
pub use source::ShownSource;
pub use webhook::{Webhook, WebhookFailure, WebhookState};

use std::sync::LazyLock;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Interval, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::state::RunStatus;
use crate::db::{Connection, DbError, Prepared, PushBinds, interval, statement};
use crate::ids::{AppId, RunId, UserId};
use crate::storage::Links;

/// Runs ahead are counted up to this number, so that the query does not slow down with the backlog.
const AHEAD_COUNTED: i64 = 10_000;

/// A worker that has not reported for this time is not ready. Workers report three times as often.
pub const WORKERS_REPORT_WITHIN: Duration = Duration::from_secs(30);

/// The columns of `runs r` that are the same in GET, in lists and in webhooks. Subqueries cost less to plan
/// than joins.
macro_rules! columns {
    () => {
        r#"r.id, r.title, r.status, r.app_id, (SELECT a.name FROM apps a WHERE a.id = r.app_id) AS app_name,
    (SELECT v.version FROM app_versions v WHERE v.id = r.app_version_id) AS app_version, r.source,
    (SELECT jsonb_build_object('id', k.id, 'name', k.name) FROM api_keys k WHERE k.id = r.api_key_id)
        AS api_key,
    r.chat_model_id, r.webhook_url,
    CASE WHEN r.webhook_url IS NOT NULL
         THEN coalesce(r.webhook_events, '{run.completed,run.failed,run.cancelled}') END AS webhook_events,
    coalesce((
        SELECT array_agg(jsonb_build_object('name', g.name, 'part', g.part, 'type', g.type, 'size', g.size,
            'sha256', encode(g.sha256, 'hex')) ORDER BY g.position, g.name)
        FROM run_files g WHERE g.run_id = r.id), ARRAY[]::jsonb[]) AS files,
    r.metadata,
    coalesce((
        SELECT array_agg(jsonb_build_object('id', f.id,
            'type', regexp_replace(f.type, '; charset=utf-8$', ''), 'name', f.title, 'title', f.title,
            'size', f.size, 'sha256', encode(f.sha256, 'hex')) ORDER BY f.created_at, f.id)
        FROM artifacts f WHERE f.run_id = r.id), ARRAY[]::jsonb[]) AS artifacts,
    r.error_code, r.error,
    jsonb_build_object('inputTokens', r.input_tokens, 'outputTokens', r.output_tokens, 'steps', r.steps,
        'toolCalls', r.tool_calls)
        || jsonb_strip_nulls(jsonb_build_object('cachedInputTokens', r.cached_input_tokens,
            'reasoningTokens', r.reasoning_tokens)) AS usage,
    r.contacted_hosts, r.attempt, r.created_at, r.started_at, r.completed_at, r.last_seq,
    capi_now() AS read_at"#
    };
}

/// `pending` says why a run waits: the plan's running runs are used up, no worker is ready, or no worker has
/// claimed it yet. `$3` holds the caps by plan, `$4` the cap of an unknown plan. The runs before it are
/// counted only for pending runs. `$6`: whether inputs and results are loaded.
///
/// The ids, the user and the limit come from subqueries. So a plan for these values is not cheaper than the
/// generic one, and PostgreSQL does not plan each call anew. `bool_or` keeps that plan off the index of the
/// pending runs, which may be many.
const LOAD: &str = concat!(
    r#"
WITH line AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY created_at, id) - 1 AS ahead
    FROM (SELECT id, created_at FROM runs WHERE user_id = (SELECT $2) AND status = 'pending'
          AND (SELECT bool_or(p.status = 'pending') FROM runs p WHERE p.id = ANY ((SELECT $1)::uuid[]))
          ORDER BY created_at, id LIMIT (SELECT $5)) waiting
)
SELECT "#,
    columns!(),
    r#",
    CASE WHEN $6 THEN r.inputs END AS inputs, CASE WHEN $6 THEN r.result END AS result,
    CASE WHEN r.webhook_url IS NULL THEN 'null'::jsonb
         ELSE jsonb_build_object('deliveryId', d.id, 'attempts', coalesce(tried.number, 0),
             'status', coalesce(d.status, CASE WHEN r.completed_at IS NOT NULL
                 AND NOT 'run.' || r.status = ANY (r.webhook_events) THEN 'skipped' ELSE 'pending' END),
             'lastError', CASE WHEN tried.code IS NOT NULL
                 THEN jsonb_build_object('code', tried.code, 'message', coalesce(tried.error, '')) END,
             'nextAttemptAt', to_char(webhook_next_attempt_v1(d.lane_id,
                     coalesce(d.due_at, d.next_attempt_at),
                     webhook_sent_again_v1(d.scheduled_at, d.attempt, d.earlier_attempts)) AT TIME ZONE 'UTC',
                 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) END AS webhook,
    CASE WHEN r.status = 'pending' THEN jsonb_build_object(
        'reason', CASE WHEN (SELECT count(*) FROM runs x
                             WHERE x.user_id = (SELECT $2) AND x.status = 'running') >= coalesce(
                                ($3 ->> (SELECT u.plan FROM users u WHERE u.id = r.user_id))::bigint, $4)
                       THEN 'user_concurrency_limit'
                       WHEN NOT EXISTS (SELECT 1 FROM workers w WHERE w.reported_at > capi_now() - $7)
                       THEN 'no_worker_ready'
                       ELSE 'waiting_for_worker' END,
        'since', to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'ahead', coalesce(line.ahead, $5)) END AS pending
FROM runs r
LEFT JOIN webhook_deliveries d ON d.run_id = r.id
LEFT JOIN LATERAL (
    SELECT t.number, t.error, webhook_error_code_v1(t.error_code, t.error, t.status_code) AS code
    FROM webhook_attempts t WHERE t.delivery_id = d.id ORDER BY t.number DESC LIMIT 1) tried ON true
LEFT JOIN line ON line.id = r.id
WHERE r.id = ANY ((SELECT $1)::uuid[]) AND r.user_id = (SELECT $2)
ORDER BY r.created_at DESC, r.id DESC"#
);

/// Runs for the bodies of webhooks: without the state of their webhook. None of them is pending, because the
/// first webhook is that of the start or of the end, and a run is never pending again. OFFSET 0 and the
/// lookup of each id keep the plan on the primary key, also before the tables have statistics.
const LOAD_FOR_WEBHOOKS: &str = concat!(
    "SELECT ",
    columns!(),
    ", r.inputs, r.result, 'null'::jsonb AS webhook, NULL::jsonb AS pending
FROM unnest((SELECT $1)::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT x.* FROM runs x WHERE x.id = wanted.id OFFSET 0) r"
);

/// The same for one run. A generic plan of `ANY` expects ten runs. For one run PostgreSQL then prefers a new
/// plan at each call, and planning these joins costs 2 to 4 ms.
static LOAD_ONE: LazyLock<String> = LazyLock::new(|| LOAD.replace("= ANY ((SELECT $1)::uuid[])", "= $1"));

/// How many runs each plan may run at once; `pending.reason` depends on it.
#[derive(Debug, Clone)]
pub struct RunningCaps {
    /// A JSON object from plan to running runs.
    pub by_plan: Value,
    /// For a plan that is not in the object.
    pub otherwise: i64,
}

/// Loads runs as the contract shows them.
pub struct Viewer {
    pub caps: RunningCaps,
    /// Signs the links to artifacts.
    pub links: Links,
}

impl Viewer {
    /// The user's run with inputs and result.
    pub async fn load(
        &self,
        conn: &mut Connection,
        user: UserId,
        run: RunId,
    ) -> Result<Option<RunView>, DbError> {
        Ok(self.load_all(conn, user, &[run], true).await?.pop())
    }

    /// The user's runs with these ids, newest first. Inputs and results are loaded only if `whole` is set.
    pub async fn load_all(
        &self,
        conn: &mut Connection,
        user: UserId,
        runs: &[RunId],
        whole: bool,
    ) -> Result<Vec<RunView>, DbError> {
        let mut found: Vec<RunView> = if let [run] = runs {
            let one = statement(LOAD_ONE.as_str()).bind::<SqlUuid, _>(run.uuid());
            self.bound(one, user, whole).load(conn).await?
        } else {
            let all = statement(LOAD).bind::<Array<SqlUuid>, _>(runs);
            self.bound(all, user, whole).load(conn).await?
        };
        for run in &mut found {
            self.link(run);
        }
        Ok(found)
    }

    /// Adds the binds after the first one.
    fn bound<Binds: PushBinds + Send>(
        &self,
        runs: Prepared<Binds>,
        user: UserId,
        whole: bool,
    ) -> Prepared<impl PushBinds + Send> {
        runs.bind::<SqlUuid, _>(user.uuid())
            .bind::<Jsonb, _>(&self.caps.by_plan)
            .bind::<BigInt, _>(self.caps.otherwise)
            .bind::<BigInt, _>(AHEAD_COUNTED)
            .bind::<Bool, _>(whole)
            .bind::<Interval, _>(interval(WORKERS_REPORT_WITHIN))
    }

    /// The runs with these ids, for the bodies of webhooks: whole, without the state of their webhook. An id
    /// that is given twice is loaded twice. Runs that are deleted are left out.
    pub async fn load_for_webhooks(
        &self,
        conn: &mut Connection,
        runs: &[RunId],
    ) -> Result<Vec<RunView>, DbError> {
        let loading = statement(LOAD_FOR_WEBHOOKS).bind::<Array<SqlUuid>, _>(runs);
        let mut found: Vec<RunView> = loading.load(conn).await?;
        for run in &mut found {
            self.link(run);
        }
        Ok(found)
    }

    fn link(&self, run: &mut RunView) {
        run.links = self.links.of_run(run.id);
        for artifact in &mut run.artifacts {
            self.links.add_to(&mut artifact.0, run.id, run.read_at);
        }
        if let Some(result) = &mut run.result {
            result.0.artifacts = run.artifacts.iter().map(|artifact| artifact.0.clone()).collect();
        }
    }
}

/// The status of the user's run. `app` limits the search to one app.
pub async fn status(
    conn: &mut Connection,
    user: UserId,
    app: Option<AppId>,
    run: RunId,
) -> Result<Option<RunStatus>, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        status: RunStatus,
    }
    let sql = "SELECT status FROM runs WHERE id = $1 AND user_id = $2 AND ($3 IS NULL OR app_id = $3)";
    let mut found: Vec<Row> = statement(sql)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
        .load(conn)
        .await?;
    Ok(found.pop().map(|row| row.status))
}
