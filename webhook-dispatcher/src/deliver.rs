//! One delivery attempt, top to bottom: load the finished run, render and sign the body, send it, record the
//! result. No database connection is held while the request is in flight. The log lines carry the delivery's
//! span, which the consumer opens.

use std::sync::Arc;
use std::time::Duration;

use public_client::header::HeaderMap;
use shared::db::DbError;
use shared::deliveries::DeliveryStatus;
use shared::ids::LaneId;
use shared::queue::WorkQueue;
use shared::webhook_secrets::{self, SecretsError};
use tokio::time::Instant;

use crate::attempt::{AttemptResult, Claimed, LEASE, give_back, plan_of, record};
use crate::context::Context;
use crate::{request, retry, signature};

const RECORD_INTERVAL: Duration = Duration::from_millis(500);
/// After this many failures the result is lost: the lease expires and the receiver gets the webhook twice.
const RECORD_TRIES: usize = 20;
/// Time until a claim that was given back is due again.
const GIVE_BACK_WAIT: Duration = Duration::from_secs(5);
/// What must remain of the lease after the longest request.
const TIME_TO_RECORD: Duration = Duration::from_secs(5);

/// Sends a claimed delivery and records the result. `lease_start` is not later than the start of the lease.
pub async fn deliver(context: &Arc<Context>, claimed: &Claimed, lane: LaneId, lease_start: Instant) {
    let Some(result) = attempt(context, claimed, lease_start).await else {
        metrics::counter!("capi_webhook_deliveries_given_back_total").increment(1);
        let owner = &context.dispatcher;
        let given = context
            .db
            .write(|mut conn| async move { give_back(&mut conn, owner, claimed, GIVE_BACK_WAIT).await });
        if let Err(error) = given.await {
            tracing::warn!(%error, "failed to give a claim back; its lease will expire");
        }
        return;
    };
    let age = (claimed.claimed_at - claimed.created_at).to_std().unwrap_or_default();
    let (status, wait) = retry::next(claimed.attempt, &result, age, rand::random());
    metrics::counter!("capi_webhook_attempts_total", "status" => status.as_str()).increment(1);
    metrics::histogram!("capi_webhook_attempt_duration_seconds").record(result.duration.as_secs_f64());
    tracing::info!(
        attempt = claimed.attempt,
        status = status.as_str(),
        status_code = result.status_code,
        reason = result.reason,
        error = result.error.as_deref(),
        "webhook attempt"
    );
    record_result(context, claimed, result, status, wait).await;
    // The lane may have more due deliveries than its share.
    context.publisher.nudge(WorkQueue::Deliveries, lane.uuid());
}

/// Returns `None` if nothing was sent and the attempt does not count.
async fn attempt(context: &Context, claimed: &Claimed, lease_start: Instant) -> Option<AttemptResult> {
    if usize::try_from(claimed.attempt).is_ok_and(|number| number > retry::ATTEMPTS) {
        return Some(AttemptResult::not_sent("The results of the last attempts could not be recorded."));
    }
    match prepare(context, claimed).await {
        Ok(Some(Prepared { plan, headers, body })) => {
            // If the lease expired before the result is recorded, another dispatcher would send it again.
            if lease_start.elapsed() + context.client.total_timeout() + TIME_TO_RECORD > LEASE {
                tracing::warn!("webhook not sent: too little of the lease is left");
                return None;
            }
            Some(context.client.post(plan.as_deref(), &claimed.url, headers, body).await)
        }
        Ok(None) => Some(AttemptResult::not_sent("The run or the signing secret no longer exists.")),
        Err(PrepareError::Secrets(SecretsError::Db(error))) if error.is_outage() => {
            tracing::warn!(%error, "webhook not sent: the database does not answer");
            None
        }
        Err(PrepareError::Secrets(SecretsError::Db(error))) => {
            tracing::error!(%error, "webhook not sent: failed to load the run");
            Some(AttemptResult::not_sent("capi failed to load the run. This is a fault of capi."))
        }
        Err(PrepareError::Body(error)) => {
            tracing::error!(%error, "webhook not sent: failed to write the body");
            Some(AttemptResult::not_sent("capi failed to write the body. This is a fault of capi."))
        }
        Err(PrepareError::Secrets(error)) => {
            tracing::error!(%error, "webhook not sent: the signing secret cannot be read");
            Some(AttemptResult::not_sent(
                "The signing secret cannot be read. The operator must check CAPI_SECRET_KEY.",
            ))
        }
    }
}

/// Why no request could be prepared.
enum PrepareError {
    Secrets(SecretsError),
    Body(serde_json::Error),
}

impl From<DbError> for PrepareError {
    fn from(error: DbError) -> Self {
        Self::Secrets(error.into())
    }
}

struct Prepared {
    /// The owner's plan now, if it matters.
    plan: Option<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// The request. `None` if the run or its owner's secrets were deleted.
async fn prepare(context: &Context, claimed: &Claimed) -> Result<Option<Prepared>, PrepareError> {
    let loaded = context.db.read(|mut conn| async move {
        let user = claimed.user_id;
        let run = context.viewer.load(&mut conn, user, claimed.run_id).await?;
        let needs_plan = context.client.depends_on_plan();
        let plan = if needs_plan { plan_of(&mut conn, user).await? } else { None };
        Ok((run, plan, webhook_secrets::active(&mut conn, &context.secret_key, user).await))
    });
    let (Some(run), plan, secrets) = loaded.await? else {
        return Ok(None);
    };
    let keys: Vec<_> =
        secrets.map_err(PrepareError::Secrets)?.iter().filter_map(webhook_secrets::signing_bytes).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let body = request::body(&claimed.r#type, claimed.created_at, run).map_err(PrepareError::Body)?;
    let headers = signature::headers(&keys, claimed.id, claimed.claimed_at, &body);
    Ok(Some(Prepared { plan, headers, body }))
}

async fn record_result(
    context: &Context,
    claimed: &Claimed,
    mut result: AttemptResult,
    status: DeliveryStatus,
    wait: Duration,
) {
    for _ in 0..RECORD_TRIES {
        let (owner, result_now) = (&context.dispatcher, &result);
        let recorded = context.db.write(|mut conn| async move {
            record(&mut conn, owner, claimed, result_now, status, wait).await
        });
        match recorded.await {
            Ok(true) => return,
            Ok(false) => {
                metrics::counter!("capi_stale_writes_total").increment(1);
                tracing::warn!("stale write: the lease was lost, or the attempt is recorded");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "failed to record a webhook attempt");
                if !error.is_outage() {
                    // The database most likely refuses text of the receiver. Losing it is better than a
                    // second delivery.
                    result = AttemptResult { error: None, response_body: None, ..result };
                }
                tokio::time::sleep(RECORD_INTERVAL).await;
            }
        }
    }
    tracing::error!("gave up recording a webhook attempt; its lease will expire");
}
