//! The statement that makes runs exist: it writes each row, its first event and what belongs to it, if the
//! app version is still current. Creates that arrive while it is in flight are written together, by the next
//! one. `insert_runs_v1` (shared/migrations/00000000000026_admission_sets) is the statement.
//!
//! The nudge follows the commit, and no request waits for the broker: a sweeper finds runs whose nudge was
//! lost. The run is executed by the run-worker: read run-worker/src/consumer.rs next.

use diesel::QueryableByName;
use diesel::result::Error as QueryError;
use diesel::sql_types::{Array, Bool, Interval, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use shared::batch::{Batch, SetCall};
use shared::config::Quotas;
use shared::db::{ANSWER_TIMEOUT, Db, DbError, interval, statement};
use shared::deliveries::WebhookEvent;
use shared::ids::{ApiKeyId, AppId, AppVersionId, RunId, UserId};
use shared::net::public_url::PublicUrl;
use shared::runs::Source;
use shared::runs::events::{EventData, EventType, RunCreated};
use shared::storage::hex;
use tokio::time::timeout;

use super::idempotency::{IdempotencyKey, KEPT};
use crate::accounts::quotas::{self, Asked, Exceeded, QuotaRow};
use crate::apps::CurrentApp;

/// Creates that wait for their set. More are answered 503.
pub const WAITING_CREATES: usize = 1024;

/// One bind for all columns costs the server 7 µs more for each run than an array for each column, and keeps
/// the columns in one place.
const INSERT: &str = "
SELECT id, written, quota, used, cap FROM insert_runs_v1($1::jsonb[], $2, $3, $4)";

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

/// An object of `insert_runs_v1`, which reads these names.
#[derive(Serialize)]
struct Row<'a> {
    id: RunId,
    user: UserId,
    app: AppId,
    version: AppVersionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<ApiKeyId>,
    title: &'a str,
    inputs: &'a Value,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_events: Option<&'a [WebhookEvent]>,
    metadata: &'a Value,
    /// The data of the first event.
    created: Value,
    queue_timeout_seconds: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<Value>,
}

impl<'a> From<&NewRun<'a>> for Row<'a> {
    fn from(run: &NewRun<'a>) -> Self {
        let source = if run.key.is_some() { Source::Api } else { Source::Console };
        Self {
            id: run.id,
            user: run.user,
            app: run.app.id,
            version: run.app.version_id,
            key: run.key,
            title: run.title,
            inputs: run.inputs,
            model: run.model,
            webhook_url: run.webhook.map(ToString::to_string),
            webhook_host: run.webhook.map(PublicUrl::lane_host),
            webhook_events: run.webhook_events,
            metadata: run.metadata,
            created: EventData::RunCreated(RunCreated { source: source.as_str().to_owned() }).data(),
            queue_timeout_seconds: run.queue_timeout_seconds,
            request_id: run.request_id,
            files: run.files,
            key_path: run.idempotency_key.map(|key| key.path.as_str()),
            key_name: run.idempotency_key.map(|key| key.key.as_str()),
            key_hash: run.idempotency_key.map(|key| hex(&key.request_hash)),
            asked: run.quotas.is_any().then(|| quotas::asked(run.quotas, run.asked)),
        }
    }
}

/// A run that is to be written, and its [`Row`] as JSON.
pub struct Accept {
    id: RunId,
    user: UserId,
    row: String,
}

/// What became of a run: `written` is null if another transaction has locked its account's row. A run without
/// an outcome was not written.
#[derive(QueryableByName)]
struct Outcome {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = Nullable<Bool>)]
    written: Option<bool>,
    #[diesel(embed)]
    quota: QuotaRow,
}

/// Writes runs.
pub struct Accepting {
    pub db: Db,
}

impl SetCall for Accepting {
    type Item = Accept;
    type Answer = Inserted;

    async fn together(&self, runs: &[Accept]) -> Result<Vec<Option<Inserted>>, DbError> {
        self.insert(runs, false).await
    }

    async fn alone(&self, run: &Accept) -> Result<Inserted, DbError> {
        // Only a call that waits for no lock leaves a run out.
        let inserted = self.insert(std::slice::from_ref(run), true).await?.pop().flatten();
        inserted.ok_or(DbError::Timeout)
    }

    /// The account's.
    fn row(&self, run: &Accept) -> Option<u128> {
        Some(run.user.uuid().as_u128())
    }

    fn bytes(&self, run: &Accept) -> usize {
        run.row.len()
    }
}

impl Accepting {
    async fn insert(&self, runs: &[Accept], wait: bool) -> Result<Vec<Option<Inserted>>, DbError> {
        let rows: &Vec<_> = &runs.iter().map(|run| run.row.as_str()).collect();
        let outcomes: Vec<Outcome> = self
            .db
            .write(|mut conn| async move {
                let inserting = statement(INSERT)
                    .bind::<Array<Text>, _>(rows)
                    .bind::<Text, _>(EventType::RunCreated.as_str())
                    .bind::<Interval, _>(interval(KEPT))
                    .bind::<Bool, _>(wait);
                Ok(inserting.load(&mut conn).await?)
            })
            .await?;
        let inserted = |run: &Accept| {
            let Some(outcome) = outcomes.iter().find(|outcome| outcome.id == run.id) else {
                return Some(Inserted::No);
            };
            outcome.written.map(|written| match outcome.quota.exceeded() {
                _ if written => Inserted::Yes,
                Some(exceeded) => Inserted::OverQuota(exceeded),
                None => Inserted::No,
            })
        };
        Ok(runs.iter().map(inserted).collect())
    }
}

/// Writes the run, or nothing.
pub async fn insert(accepting: &Batch<Accepting>, run: &NewRun<'_>) -> Result<Inserted, DbError> {
    let row = serde_json::to_string(&Row::from(run));
    let row = row.map_err(|error| QueryError::SerializationError(error.into()))?;
    // Behind a set whose commit hangs, the call would wait for that set too.
    let writing = timeout(ANSWER_TIMEOUT, accepting.call(Accept { id: run.id, user: run.user, row }));
    writing.await.unwrap_or(Err(DbError::Timeout))
}

#[cfg(test)]
mod tests;
