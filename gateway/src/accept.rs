//! The run's birth: one statement writes the row and its first event, guarded by the app version being current.
//! The nudge goes out after it, and nobody waits for the broker: a sweeper finds what no nudge announced.

use diesel::sql_types::{Binary, Integer, Interval, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Connection, DbError, interval, statement};
use shared::ids::{ApiKeyId, RunId, UserId};
use shared::net::public_url::PublicUrl;
use shared::runs::events::{EventData, RunCreated};

use crate::apps::CurrentApp;
use crate::idempotency::{KEPT, Once};

/// The rows of the files, from a bind.
macro_rules! files {
    ($rows:literal) => {
        concat!(
            ", files AS (
    INSERT INTO run_files (id, run_id, name, type, size, sha256)
    SELECT f.id, run.id, f.name, f.type, f.size, decode(f.sha256, 'hex')
    FROM run, jsonb_to_recordset(",
            $rows,
            ") AS f (id uuid, name text, type text, size bigint, sha256 text)
)"
        )
    };
}

/// The idempotency key, where the app is as it was.
macro_rules! once {
    () => {
        "taken AS (
    INSERT INTO idempotency_keys AS k (user_id, path, key, request_hash, run_id, expires_at)
    SELECT a.user_id, $15, $16, $17, $1, capi_now() + $18
    FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
    WHERE a.id = $3 AND a.user_id = $2 AND v.id = $4 AND a.archived_at IS NULL
    ON CONFLICT (user_id, path, key) DO UPDATE
        SET request_hash = EXCLUDED.request_hash, run_id = EXCLUDED.run_id, expires_at = EXCLUDED.expires_at
        WHERE k.expires_at <= capi_now()
    RETURNING 1
), "
    };
}

/// The statement, with what an idempotency key and files add to it.
macro_rules! accepting {
    ($with:expr, $join:expr, $files:expr) => {
        concat!("
WITH ", $with, "run AS (
    INSERT INTO runs (id, user_id, app_id, app_version_id, api_key_id, source, status, title, inputs, chat_model_id,
                      webhook_url, webhook_host, metadata, queue_timeout_seconds, created_at, last_seq)
    SELECT $1, a.user_id, a.id, v.id, $5, CASE WHEN $5 IS NULL THEN 'console' ELSE 'api' END, 'pending', $6, $7, $8, $9, $10, $11, $14, capi_now(), 1
    FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version ", $join, "
    WHERE a.id = $3 AND a.user_id = $2 AND v.id = $4 AND a.archived_at IS NULL
    RETURNING id, user_id, metadata, created_at
), pairs AS (
    INSERT INTO run_metadata (user_id, key, value, created_at, run_id)
    SELECT run.user_id, p.key, p.value, run.created_at, run.id FROM run, jsonb_each_text(run.metadata) p
)", $files, "
INSERT INTO run_events (run_id, seq, type, at, attempt, data)
SELECT id, 1, $12, created_at, 0, $13 FROM run")
    };
}

/// Without an idempotency key; the binds are in [`accept`].
pub const ACCEPT: &str = accepting!("", "", "");

/// The same with the caller's files, whose bytes are in the store.
const ACCEPT_FILES: &str = accepting!("", "", files!("$15"));

/// The key's row comes first, and only where the app is as it was: whoever has it writes the run, anybody else waits for
/// his commit and finds no row to go on from.
const ACCEPT_ONCE: &str = accepting!(once!(), "CROSS JOIN taken", "");

const ACCEPT_ONCE_FILES: &str = accepting!(once!(), "CROSS JOIN taken", files!("$19"));

/// A validated run.
pub struct NewRun<'a> {
    /// Its id.
    pub id: RunId,
    /// Whose it is.
    pub user: UserId,
    /// Which key asked for it; nobody's where it was started in the console.
    pub key: Option<ApiKeyId>,
    /// The app, in the version it was validated against.
    pub app: &'a CurrentApp,
    /// What lists show.
    pub title: &'a str,
    /// Checked, with defaults.
    pub inputs: &'a Value,
    /// The model it will use.
    pub model: &'a str,
    /// Where its end is told.
    pub webhook: Option<&'a PublicUrl>,
    /// As the caller gave it.
    pub metadata: &'a Value,
    /// Seconds in which it must be started.
    pub queue_timeout_seconds: i32,
    /// Rows of its files, if it has any.
    pub files: Option<&'a Value>,
    /// Where the create may be repeated.
    pub once: Option<&'a Once>,
}

/// Writes the run. False if the version is no longer the app's current one, or the idempotency key is taken: nothing was
/// written.
pub async fn accept(conn: &mut Connection, run: &NewRun<'_>) -> Result<bool, DbError> {
    let sql = match (run.once, run.files) {
        (None, None) => ACCEPT,
        (None, Some(_)) => ACCEPT_FILES,
        (Some(_), None) => ACCEPT_ONCE,
        (Some(_), Some(_)) => ACCEPT_ONCE_FILES,
    };
    let source = if run.key.is_some() { "api" } else { "console" };
    let created = EventData::RunCreated(RunCreated { source: source.to_owned() });
    let accepting = statement(sql)
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
        .bind::<Integer, _>(run.queue_timeout_seconds);
    let written = match (run.once, run.files) {
        (None, None) => accepting.execute(conn).await?,
        (None, Some(files)) => accepting.bind::<Jsonb, _>(files).execute(conn).await?,
        (Some(once), files) => {
            let accepting = accepting
                .bind::<Text, _>(&once.path)
                .bind::<Text, _>(&once.key)
                .bind::<Binary, _>(&once.request_hash)
                .bind::<Interval, _>(interval(KEPT));
            match files {
                None => accepting.execute(conn).await?,
                Some(files) => accepting.bind::<Jsonb, _>(files).execute(conn).await?,
            }
        }
    };
    Ok(written == 1)
}
