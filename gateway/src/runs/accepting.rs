//! A create that was read, up to the run being written: by this request, or by an earlier one with the same idempotency key.

use std::sync::Arc;

use actix_web::web;
use shared::db::DbError;
use shared::ids::{ApiKeyId, AppId, RunId, UserId};
use shared::net::public_url::PublicUrl;
use shared::queue::WorkQueue;

use super::form::Uploads;
use super::load_app;
use super::request::CreateRequest;
use super::validate::{Valid, title, validate};
use crate::accept::{NewRun, accept};
use crate::apps::CurrentApp;
use crate::context::Context;
use crate::error::ApiError;
use crate::idempotency::{self, Once};

/// Times that the app may change between being read and the run being written.
const STALE_RETRIES: usize = 3;

/// What is asked for, not judged against the app yet.
pub(crate) struct Create {
    pub(crate) id: RunId,
    pub(crate) user: UserId,
    pub(crate) key: Option<ApiKeyId>,
    pub(crate) app_id: AppId,
    pub(crate) body: CreateRequest,
    pub(crate) files: Uploads,
    pub(crate) webhook: Option<PublicUrl>,
    pub(crate) once: Option<Once>,
}

/// The run of a create.
pub(crate) enum Created {
    /// Written by this request.
    Now(RunId, Arc<CurrentApp>),
    /// Written by an earlier one with the same key and fields.
    Before(RunId),
}

impl Created {
    pub(crate) const fn run(&self) -> RunId {
        match self {
            Self::Now(run, _) | Self::Before(run) => *run,
        }
    }
}

impl Create {
    pub(crate) async fn accept_and_nudge(mut self, context: web::Data<Context>) -> Result<Created, ApiError> {
        // First: what an app has become since does not change what was accepted.
        if let Some(run) = self.accepted_before(&context).await? {
            return Ok(Created::Before(run));
        }
        let created = self.write(&context).await?;
        if let Created::Now(id, app) = &created {
            context.publisher.nudge(WorkQueue::Runs, self.user.uuid());
            metrics::counter!("capi_runs_accepted_total").increment(1);
            tracing::debug!(run_id = %id, app_id = %app.id, "run accepted");
        }
        Ok(created)
    }

    /// The run that the same create led to already.
    async fn accepted_before(&self, context: &Context) -> Result<Option<RunId>, ApiError> {
        let Some(once) = &self.once else { return Ok(None) };
        let user = self.user;
        let finding =
            context.db.read(|mut conn| async move { idempotency::find(&mut conn, user, once).await });
        match finding.await? {
            None => Ok(None),
            Some(known) if known.same => {
                metrics::counter!("capi_creates_replayed_total").increment(1);
                Ok(Some(known.run))
            }
            Some(_) => Err(ApiError::IdempotencyConflict),
        }
    }

    fn valid(&self, app: &CurrentApp, context: &Context) -> Result<Valid, ApiError> {
        validate(app, &self.body, self.files.files(), &context.models)
    }

    /// Validates against the cached version and writes the run; begins again with a fresh one where that was stale.
    async fn write(&mut self, context: &Context) -> Result<Created, ApiError> {
        let (user, id) = (self.user, self.id);
        let rows = self.files.rows();
        let mut cached = context.apps.get(user, self.app_id);
        for _ in 0..STALE_RETRIES {
            // Only a stored version may refuse a request: a stale one would refuse inputs that are right by now.
            let valid = cached.as_deref().and_then(|app| self.valid(app, context).ok());
            let (app, valid) = if let (Some(app), Some(valid)) = (cached.take(), valid) {
                (app, valid)
            } else {
                let app = load_app(context, user, self.app_id).await?;
                let valid = self.valid(&app, context)?;
                (app, valid)
            };
            let title = title(&app, &valid.inputs, id);
            let run = &NewRun {
                id,
                user,
                key: self.key,
                app: &app,
                title: &title,
                inputs: &valid.inputs,
                model: &valid.model,
                webhook: self.webhook.as_ref(),
                metadata: &self.body.metadata,
                queue_timeout_seconds: self.body.queue_timeout_seconds,
                files: rows.as_array().is_some_and(|rows| !rows.is_empty()).then_some(&rows),
                once: self.once.as_ref(),
            };
            match context.db.write(|mut conn| async move { accept(&mut conn, run).await }).await {
                Ok(true) => {
                    self.files.keep();
                    return Ok(Created::Now(id, app));
                }
                // Most likely a request beside this one, which is committed by now.
                Ok(false) => {
                    if let Some(run) = self.accepted_before(context).await? {
                        return Ok(Created::Before(run));
                    }
                }
                Err(error) => return Err(self.in_doubt(id, error)),
            }
        }
        Err(ApiError::Unavailable("the app is being changed; try again"))
    }

    /// A statement that was sent and not answered may be committed all the same.
    fn in_doubt(&mut self, id: RunId, error: DbError) -> ApiError {
        if !error.is_away() || matches!(error, DbError::Pool(_)) {
            return error.into();
        }
        // What belongs to no run is swept after a day.
        self.files.keep();
        tracing::warn!(%error, run_id = %id, "an accept is left in doubt");
        ApiError::Unavailable(if self.once.is_some() {
            "the run may have been accepted all the same; send the request again with the same Idempotency-Key"
        } else {
            "the run may have been accepted all the same; look with GET /api/v1/runs before creating it again (with an \
             Idempotency-Key it can be sent again as it is)"
        })
    }
}
