//! The statement that makes a run exist: it writes the row and the first event if the app version is still
//! current.
//!
//! The nudge follows the commit, and no request waits for the broker: a sweeper finds runs whose nudge was
//! lost. The run is executed by the run-worker: read run-worker/src/consumer.rs next.

use diesel::QueryableByName;
use diesel::sql_types::{Array, Binary, Bool, Integer, Interval, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::config::Quotas;
use shared::db::{Connection, Db, DbError, Prepared, PushBinds, interval, statement};
use shared::deliveries::WebhookEvent;
use shared::ids::{ApiKeyId, RunId, UserId};
use shared::net::public_url::PublicUrl;
use shared::runs::Source;
use shared::runs::events::{EventData, RunCreated};

use super::idempotency::{IdempotencyKey, KEPT};
use crate::accounts::quotas::{self, Asked, Exceeded, QuotaRow};
use crate::apps::CurrentApp;

/// Inserts the rows of the files, which are a JSON array in the bind.
macro_rules! files {
    ($rows:literal) => {
        concat!(
            ", files AS (
    INSERT INTO run_files (id, run_id, name, type, size, sha256, part, position)
    SELECT f.id, run.id, f.name, f.type, f.size, decode(f.sha256, 'hex'), f.part, f.position
    FROM run, jsonb_to_recordset(",
            $rows,
            ") AS f (id uuid, name text, type text, size bigint, sha256 text, part text,
        position integer)
)"
        )
    };
}

/// Inserts the idempotency key if the app version is still current.
macro_rules! idempotency_key {
    ($join:literal) => {
        concat!("taken AS (
    INSERT INTO idempotency_keys AS k (user_id, path, key, request_hash, run_id, expires_at)
    SELECT a.user_id, $17, $18, $19, $1, capi_now() + $20
    FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version ", $join, "
    WHERE a.id = $3 AND a.user_id = $2 AND v.id = $4 AND a.archived_at IS NULL
    ON CONFLICT (user_id, path, key) DO UPDATE
        SET request_hash = EXCLUDED.request_hash, run_id = EXCLUDED.run_id, expires_at = EXCLUDED.expires_at
        WHERE k.expires_at <= capi_now()
    RETURNING 1
), ")
    };
}

/// The statement, with the parts for quotas, for an idempotency key and for files.
macro_rules! insert_run {
    ($with:expr, $join:expr, $files:expr, $log:expr) => {
        concat!("
WITH ", $with, "run AS (
    INSERT INTO runs (id, user_id, app_id, app_version_id, api_key_id, source, status, title, inputs,
                      chat_model_id, webhook_url, webhook_host, metadata, queue_timeout_seconds, request_id,
                      webhook_events, created_at, last_seq)
    SELECT $1, a.user_id, a.id, v.id, $5, CASE WHEN $5 IS NULL THEN 'console' ELSE 'api' END, 'pending',
           $6, $7, $8, $9, $10, $11, $14, $15, $16, capi_now(), 1
    FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version ", $join, "
    WHERE a.id = $3 AND a.user_id = $2 AND v.id = $4 AND a.archived_at IS NULL
    RETURNING id, user_id, metadata, created_at
), pairs AS (
    INSERT INTO run_metadata (user_id, key, value, created_at, run_id)
    SELECT run.user_id, p.key, p.value, run.created_at, run.id FROM run, jsonb_each_text(run.metadata) p
)", $files, $log)
    };
}

/// Inserts the first event.
macro_rules! log {
    () => {
        "
INSERT INTO run_events (run_id, seq, type, at, attempt, data)
SELECT id, 1, $12, created_at, 0, $13 FROM run"
    };
}

/// Without quotas, an idempotency key and files. [`insert`] lists the binds.
pub const INSERT: &str = insert_run!("", "", "", log!());

const INSERT_WITH_FILES: &str = insert_run!("", "", files!("$17"), log!());

/// The key's row comes first: of several requests with one key, one inserts the row and writes the run. The
/// others wait for that commit, insert no row, and so write no run.
const INSERT_WITH_KEY: &str = insert_run!(idempotency_key!(""), "CROSS JOIN taken", "", log!());

const INSERT_WITH_KEY_AND_FILES: &str =
    insert_run!(idempotency_key!(""), "CROSS JOIN taken", files!("$21"), log!());

/// Locks the account's row first, so that of concurrent creates each sees what the former ones wrote. A
/// suspended gateway holds no lock: it is one statement.
macro_rules! quota {
    ($asked:literal) => {
        concat!("quota AS MATERIALIZED (SELECT * FROM account_quota_v1($2, ", $asked, ")), ")
    };
}

/// Writes nothing if a quota is exceeded.
macro_rules! fits {
    () => {
        "JOIN quota ON quota.quota IS NULL"
    };
}

/// Inserts the first event, counts the request's bytes if the run was written, and returns the outcome.
macro_rules! log_and_count {
    ($asked:literal) => {
        concat!(
            ", logged AS (",
            log!(),
            " RETURNING run_id
)
SELECT quota.quota, quota.used, quota.cap, EXISTS (SELECT 1 FROM logged) AS written, (
    SELECT bool_and(use_account_v1(run.user_id, 0, (",
            $asked,
            " ->> 'request_bytes')::bigint)) FROM run
    WHERE ",
            $asked,
            " ->> 'request_bytes' IS NOT NULL) AS counted
FROM quota"
        )
    };
}

const QUOTA: &str = insert_run!(quota!("$17"), fits!(), "", log_and_count!("$17"));

const QUOTA_WITH_FILES: &str = insert_run!(quota!("$18"), fits!(), files!("$17"), log_and_count!("$18"));

const QUOTA_WITH_KEY: &str = insert_run!(
    concat!(quota!("$21"), idempotency_key!("JOIN quota ON quota.quota IS NULL")),
    "CROSS JOIN taken",
    "",
    log_and_count!("$21")
);

const QUOTA_WITH_KEY_AND_FILES: &str = insert_run!(
    concat!(quota!("$22"), idempotency_key!("JOIN quota ON quota.quota IS NULL")),
    "CROSS JOIN taken",
    files!("$21"),
    log_and_count!("$22")
);

/// A validated run.
pub struct NewRun<'a> {
    pub id: RunId,
    pub user: UserId,
    /// `None` for a run that was started in the console.
    pub key: Option<ApiKeyId>,
    /// The app, in the version that the request was validated against.
    pub app: &'a CurrentApp,
    pub title: &'a str,
    /// Validated, with defaults.
    pub inputs: &'a Value,
    /// The model's id.
    pub model: &'a str,
    pub webhook: Option<&'a PublicUrl>,
    pub webhook_events: Option<&'a [WebhookEvent]>,
    pub metadata: &'a Value,
    pub queue_timeout_seconds: i32,
    /// The id of the request, which the log lines of the run carry.
    pub request_id: Option<&'a str>,
    /// The rows of its files as [`super::Uploads::rows`] makes them.
    pub files: Option<&'a Value>,
    pub idempotency_key: Option<&'a IdempotencyKey>,
    /// The quotas of the account's plan, and what the run adds to their use.
    pub quotas: &'a Quotas,
    pub asked: Asked,
}

/// Whether the run was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    Yes,
    /// The version is no longer the app's current one, or the idempotency key is taken.
    No,
    /// The account has no room. The idempotency key may be taken too.
    OverQuota(Exceeded),
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(embed)]
    quota: QuotaRow,
    #[diesel(sql_type = Bool)]
    written: bool,
}

impl From<Row> for Inserted {
    fn from(row: Row) -> Self {
        match row.quota.exceeded() {
            _ if row.written => Self::Yes,
            Some(exceeded) => Self::OverQuota(exceeded),
            None => Self::No,
        }
    }
}

/// Writes the run, or nothing. An account without quotas needs no lock.
pub async fn insert(db: &Db, run: &NewRun<'_>) -> Result<Inserted, DbError> {
    let asked = &run.quotas.is_any().then(|| quotas::asked(run.quotas, run.asked));
    let sql = match (asked, run.idempotency_key, run.files) {
        (None, None, None) => INSERT,
        (None, None, Some(_)) => INSERT_WITH_FILES,
        (None, Some(_), None) => INSERT_WITH_KEY,
        (None, Some(_), Some(_)) => INSERT_WITH_KEY_AND_FILES,
        (Some(_), None, None) => QUOTA,
        (Some(_), None, Some(_)) => QUOTA_WITH_FILES,
        (Some(_), Some(_), None) => QUOTA_WITH_KEY,
        (Some(_), Some(_), Some(_)) => QUOTA_WITH_KEY_AND_FILES,
    };
    let source = if run.key.is_some() { Source::Api } else { Source::Console };
    let created = &EventData::RunCreated(RunCreated { source: source.as_str().to_owned() });
    let events =
        run.webhook_events.map(|events| events.iter().map(|event| event.as_str()).collect::<Vec<_>>());
    let events = events.as_deref();
    db.write(|mut conn| async move {
        let inserting = statement(sql)
            .bind::<SqlUuid, _>(run.id.uuid())
            .bind::<SqlUuid, _>(run.user.uuid())
            .bind::<SqlUuid, _>(run.app.id.uuid())
            .bind::<SqlUuid, _>(run.app.version_id.uuid())
            .bind::<Nullable<SqlUuid>, _>(run.key.map(ApiKeyId::uuid))
            .bind::<Text, _>(run.title)
            .bind::<Jsonb, _>(run.inputs)
            .bind::<Text, _>(run.model)
            .bind::<Nullable<Text>, _>(run.webhook.map(ToString::to_string))
            .bind::<Nullable<Text>, _>(run.webhook.map(PublicUrl::lane_host))
            .bind::<Jsonb, _>(run.metadata)
            .bind::<Text, _>(created.event_type().as_str())
            .bind::<Jsonb, _>(created.data())
            .bind::<Integer, _>(run.queue_timeout_seconds)
            .bind::<Nullable<Text>, _>(run.request_id)
            .bind::<Nullable<Array<Text>>, _>(events);
        match (run.idempotency_key, run.files) {
            (None, None) => finish(&mut conn, inserting, asked.as_ref()).await,
            (None, Some(files)) => finish(&mut conn, inserting.bind::<Jsonb, _>(files), asked.as_ref()).await,
            (Some(key), files) => {
                let inserting = inserting
                    .bind::<Text, _>(&key.path)
                    .bind::<Text, _>(&key.key)
                    .bind::<Binary, _>(&key.request_hash)
                    .bind::<Interval, _>(interval(KEPT));
                match files {
                    None => finish(&mut conn, inserting, asked.as_ref()).await,
                    Some(files) => finish(&mut conn, inserting.bind::<Jsonb, _>(files), asked.as_ref()).await,
                }
            }
        }
    })
    .await
}

/// Executes the statement with its last bind.
async fn finish<Binds: PushBinds + Send>(
    conn: &mut Connection,
    inserting: Prepared<Binds>,
    asked: Option<&Value>,
) -> Result<Inserted, DbError> {
    let Some(asked) = asked else {
        let written = inserting.execute(conn).await?;
        return Ok(if written == 1 { Inserted::Yes } else { Inserted::No });
    };
    let row: Row = inserting.bind::<Jsonb, _>(asked).get_result(conn).await?;
    Ok(row.into())
}
