//! The use case "create a run": find the app, validate the request against it, write the run, nudge the
//! workers.
//!
//! Read `insert` next: it is the statement that makes the run exist.

use std::sync::Arc;

use shared::batch::Batch;
use shared::config::{ModelsFile, Quotas, SearchFile};
use shared::db::{Db, DbError};
use shared::ids::{ApiKeyId, AppId, RunId, UserId};
use shared::net::public_url::PublicUrl;
use shared::queue::{Publisher, WorkQueue};
use tracing::Instrument as _;

use super::idempotency::{self, IdempotencyKey};
use super::insert::{Accepting, Inserted, NewRun, insert};
use super::request::CreateRequest;
use super::uploads::Uploads;
use super::validate::{Valid, title, validate};
use crate::Refusal;
use crate::accounts::quotas::{self, Asked, Exceeded};
use crate::apps::{AppCache, CurrentApp};

/// Attempts to write the run while the app changes between the read of its version and the write.
const STALE_RETRIES: usize = 3;

/// What creating a run needs. One per process, cheap to clone.
#[derive(Clone)]
pub struct Intake {
    pub db: Db,
    /// Writes the runs.
    pub accepting: Batch<Accepting>,
    pub apps: Arc<AppCache>,
    pub models: Arc<ModelsFile>,
    pub search: Arc<SearchFile>,
    pub publisher: Publisher,
}

/// A request for a run, read but not yet validated against its app.
pub struct Create {
    pub id: RunId,
    pub user: UserId,
    /// The API key that asked. `None` for a run that was started in the console.
    pub key: Option<ApiKeyId>,
    pub app_id: AppId,
    pub body: CreateRequest,
    pub files: Uploads,
    pub webhook: Option<PublicUrl>,
    pub idempotency_key: Option<IdempotencyKey>,
    /// The id of the request that creates the run.
    pub request_id: Option<String>,
    /// The quotas of the account's plan.
    pub quotas: Quotas,
    /// Bytes of the request's body.
    pub request_bytes: u64,
}

/// The run that a create led to.
pub enum Created {
    /// This request wrote it.
    Now(RunId, Arc<CurrentApp>),
    /// An earlier request with the same key and fields wrote it.
    Before(RunId),
}

impl Created {
    #[must_use]
    pub const fn run(&self) -> RunId {
        match self {
            Self::Now(run, _) | Self::Before(run) => *run,
        }
    }
}

/// What a dry run found.
pub struct DryRun {
    pub app: Arc<CurrentApp>,
    /// The model that the run would use.
    pub model: String,
}

/// Validates a create without creating anything, against the version that is stored now and not against a
/// cached one: no write follows that would notice a stale version.
pub async fn dry_run(
    intake: &Intake,
    user: UserId,
    app: AppId,
    body: &CreateRequest,
    files: &Uploads,
    (quotas, request_bytes): (&Quotas, u64),
) -> Result<DryRun, Refusal> {
    let app = intake.apps.load(&intake.db, user, app).await?;
    let Valid { model, .. } = validate(&app, body, files.files(), (&intake.models, &intake.search))?;
    let asked = Asked { stored_bytes: files.bytes(), request_bytes };
    match quotas::check(&intake.db, user, quotas, asked).await? {
        Some(exceeded) => Err(refused(exceeded)),
        None => Ok(DryRun { app, model }),
    }
}

pub(super) fn refused(exceeded: Exceeded) -> Refusal {
    metrics::counter!("capi_quota_refusals_total", "quota" => exceeded.quota.name()).increment(1);
    Refusal::QuotaExceeded(exceeded)
}

impl Create {
    /// Creates the run. The work is a task of its own: a client that disconnects must not leave a run without
    /// nudge.
    pub async fn run(self, intake: &Intake) -> Result<Created, Refusal> {
        let intake = intake.clone();
        let creating = tokio::spawn(async move { self.create_and_nudge(&intake).await }.in_current_span());
        creating.await.map_err(|error| Refusal::fault(&error))?
    }

    async fn create_and_nudge(mut self, intake: &Intake) -> Result<Created, Refusal> {
        let created = self.create(intake).await;
        let created = created.inspect_err(|refusal| {
            if refusal.is_own_failure() {
                self.files.forgive();
            }
        })?;
        if let Created::Now(id, app) = &created {
            intake.publisher.nudge_if_room(WorkQueue::Runs, self.user.uuid());
            metrics::counter!("capi_runs_created_total").increment(1);
            tracing::debug!(run_id = %id, app_id = %app.id, "run accepted");
        }
        Ok(created)
    }

    async fn create(&mut self, intake: &Intake) -> Result<Created, Refusal> {
        // Before validation: a later change of the app does not change what was accepted.
        if let Some(run) = self.created_before(&intake.db).await? {
            return Ok(Created::Before(run));
        }
        if let Some(refusal) = self.files.not_stored() {
            return Err(refusal);
        }
        self.write(intake).await
    }

    /// The run of an earlier request with the same idempotency key.
    async fn created_before(&self, db: &Db) -> Result<Option<RunId>, Refusal> {
        let Some(key) = &self.idempotency_key else { return Ok(None) };
        match idempotency::find(db, self.user, key).await? {
            None => Ok(None),
            Some(stored) if !stored.same => Err(Refusal::IdempotencyConflict),
            Some(stored) if stored.deleted => Err(Refusal::RunDeleted),
            Some(stored) => {
                metrics::counter!("capi_idempotent_replays_total").increment(1);
                Ok(Some(stored.run))
            }
        }
    }

    fn validate(&self, app: &CurrentApp, intake: &Intake) -> Result<Valid, Refusal> {
        validate(app, &self.body, self.files.files(), (&intake.models, &intake.search))
    }

    /// Validates against the cached version and writes the run. Starts again with a fresh version if the
    /// cached one is stale.
    async fn write(&mut self, intake: &Intake) -> Result<Created, Refusal> {
        let rows = (!self.files.files().is_empty()).then(|| self.files.rows());
        let mut cached = intake.apps.get(self.user, self.app_id);
        for _ in 0..STALE_RETRIES {
            // A stale version may not refuse a request: the current one may accept its inputs.
            let valid = cached.as_deref().and_then(|app| self.validate(app, intake).ok());
            let (app, valid) = if let (Some(app), Some(valid)) = (cached.take(), valid) {
                (app, valid)
            } else {
                let app = intake.apps.load(&intake.db, self.user, self.app_id).await?;
                let valid = self.validate(&app, intake)?;
                (app, valid)
            };
            let run = &NewRun {
                id: self.id,
                user: self.user,
                key: self.key,
                app: &app,
                title: &title(&app, &valid.inputs, self.id),
                inputs: &valid.inputs,
                model: &valid.model,
                webhook: self.webhook.as_ref(),
                webhook_events: self.body.webhook_events.as_deref(),
                metadata: &self.body.metadata,
                queue_timeout_seconds: self.body.queue_timeout_seconds,
                request_id: self.request_id.as_deref(),
                files: rows.as_ref(),
                idempotency_key: self.idempotency_key.as_ref(),
                quotas: &self.quotas,
                asked: Asked { stored_bytes: self.files.bytes(), request_bytes: self.request_bytes },
            };
            match insert(&intake.accepting, run).await {
                Ok(Inserted::Yes) => {
                    self.files.keep();
                    return Ok(Created::Now(self.id, app));
                }
                // Usually a concurrent request with the same idempotency key, which has committed by now. A
                // replay is answered whatever the account uses.
                Ok(no) => {
                    if let Some(run) = self.created_before(&intake.db).await? {
                        return Ok(Created::Before(run));
                    }
                    if let Inserted::OverQuota(exceeded) = no {
                        return Err(refused(exceeded));
                    }
                }
                Err(error) => return Err(self.in_doubt(error)),
            }
        }
        Err(Refusal::Unavailable("the app is being changed; try again"))
    }

    /// A statement that was sent but not answered may be committed.
    fn in_doubt(&mut self, error: DbError) -> Refusal {
        if !error.is_away() || error.was_not_sent() {
            return error.into();
        }
        // If the run does not exist, the store's garbage collection deletes its files after a day.
        self.files.keep();
        tracing::warn!(%error, run_id = %self.id, "the database did not confirm a create");
        Refusal::MaybeCreated { has_key: self.idempotency_key.is_some() }
    }
}
