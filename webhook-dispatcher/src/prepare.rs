//! Prepares the request of an attempt: loads the run and the signing secrets, renders the body and signs it.

use public_client::header::HeaderMap;
use shared::db::DbError;
use shared::webhook_secrets::{self, SecretsError};

use crate::attempt::{Claimed, plan_of};
use crate::context::Context;
use crate::{request, signature};

/// A request that can be sent.
pub struct Prepared {
    /// The owner's plan now, if it matters.
    pub plan: Option<String>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Why no request could be prepared.
pub enum NotPrepared {
    /// The database does not answer; a later attempt may work.
    Outage,
    /// A sentence for the owner of the receiver.
    Never(&'static str),
}

const GONE: NotPrepared = NotPrepared::Never("The run or the signing secret no longer exists.");

impl From<DbError> for NotPrepared {
    fn from(error: DbError) -> Self {
        if error.is_outage() {
            tracing::warn!(%error, "webhook not sent: the database does not answer");
            return Self::Outage;
        }
        tracing::error!(%error, "webhook not sent: failed to load the run");
        Self::Never("capi failed to load the run. This is a fault of capi.")
    }
}

impl From<SecretsError> for NotPrepared {
    fn from(error: SecretsError) -> Self {
        match error {
            SecretsError::Db(error) => error.into(),
            error => {
                tracing::error!(%error, "webhook not sent: the signing secret cannot be read");
                Self::Never("The signing secret cannot be read. The operator must check CAPI_SECRET_KEY.")
            }
        }
    }
}

impl From<serde_json::Error> for NotPrepared {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(%error, "webhook not sent: failed to write the body");
        Self::Never("capi failed to write the body. This is a fault of capi.")
    }
}

/// The request of this attempt.
pub async fn prepare(context: &Context, claimed: &Claimed) -> Result<Prepared, NotPrepared> {
    let loaded = context.db.read(|mut conn| async move {
        let user = claimed.user_id;
        let run = match claimed.run_id {
            Some(run) => context.viewer.load(&mut conn, user, run).await?,
            None => None,
        };
        let needs_plan = context.client.depends_on_plan();
        let plan = if needs_plan { plan_of(&mut conn, user).await? } else { None };
        Ok((run, plan, webhook_secrets::active(&mut conn, &context.secret_key, user).await))
    });
    let (run, plan, secrets) = loaded.await?;
    let keys: Vec<_> = secrets?.iter().filter_map(webhook_secrets::signing_bytes).collect();
    if keys.is_empty() {
        return Err(GONE);
    }
    let body = match run {
        Some(run) => request::body(&claimed.r#type, claimed.created_at, run, claimed.artifact_id)?,
        None if claimed.is_ping() => request::ping(claimed.created_at)?,
        None => return Err(GONE),
    };
    let headers = signature::headers(&keys, claimed.id, claimed.claimed_at, &body);
    Ok(Prepared { plan, headers, body })
}
