//! One delivery attempt, top to bottom: prepare the request (`prepare`), send it, record the result. No
//! database connection is held while the request is in flight. The log lines carry the delivery's span, which
//! the consumer opens.

use std::sync::Arc;
use std::time::Duration;

use shared::deliveries::{DeliveryError, DeliveryStatus, PING_WAIT};
use tokio::time::Instant;

use crate::attempt::{AttemptResult, Claimed, LEASE, Next, Recorded, give_back, record};
use crate::circuit::{self, Health};
use crate::context::Context;
use crate::prepare::{NotPrepared, Prepared, prepare};
use crate::retry;

const RECORD_INTERVAL: Duration = Duration::from_millis(500);
/// After this many failures the result is lost: the lease expires and the receiver gets the webhook twice.
const RECORD_TRIES: usize = 20;
/// Time until a claim that was given back is due again.
const GIVE_BACK_WAIT: Duration = Duration::from_secs(5);
/// What must remain of the lease after the longest request.
const TIME_TO_RECORD: Duration = Duration::from_secs(5);

/// Sends a claimed delivery and records the result. `lease_start` is not later than the start of the lease.
/// Returns false if nothing was sent or the result could not be recorded.
pub async fn deliver(context: &Arc<Context>, claimed: &Claimed, lease_start: Instant) -> bool {
    let Some(result) = attempt(context, claimed, lease_start).await else {
        metrics::counter!("capi_webhook_deliveries_given_back_total").increment(1);
        let owner = &context.dispatcher;
        let given = context
            .db
            .write(|mut conn| async move { give_back(&mut conn, owner, claimed, GIVE_BACK_WAIT).await });
        if let Err(error) = given.await {
            tracing::warn!(%error, "failed to give a claim back; its lease will expire");
        }
        return false;
    };
    let (status, wait) = if claimed.is_ping() {
        (retry::after_ping(&result), Duration::ZERO)
    } else {
        retry::next(claimed.in_schedule(), &result, claimed.age(), rand::random())
    };
    metrics::counter!("capi_webhook_attempts_total", "status" => status.as_str()).increment(1);
    metrics::histogram!("capi_webhook_attempt_duration_seconds").record(result.duration.as_secs_f64());
    tracing::info!(
        attempt = claimed.attempt,
        status = status.as_str(),
        status_code = result.status_code,
        error = result.error.map(DeliveryError::as_str),
        why = result.message.as_deref(),
        "webhook attempt"
    );
    let error = result.error;
    // Tests are in a lane of their own, for all hosts.
    let health = if claimed.is_ping() { Health::Unknown } else { circuit::health(error) };
    let lane = circuit::next(claimed.failures, health, rand::random());
    let recorded = record_result(context, claimed, result, Next { status, wait, lane }).await;
    if let Some(change) = lane.filter(|_| recorded.lane_changed) {
        note_lane(claimed, change, error);
    }
    if recorded.written && status == DeliveryStatus::Failed && !claimed.is_ping() {
        metrics::counter!("capi_webhook_deliveries_failed_total").increment(1);
        let error = error.map(DeliveryError::as_str);
        tracing::warn!(attempts = claimed.attempt, error, "webhook delivery given up");
    }
    recorded.written
}

fn note_lane(claimed: &Claimed, change: circuit::Change, error: Option<DeliveryError>) {
    let (lane, error) = (claimed.lane_id, error.map(DeliveryError::as_str));
    if let Some(pause) = change.closed_for {
        metrics::counter!("capi_webhook_lane_closings_total").increment(1);
        let (failures, seconds) = (change.failures, pause.as_secs());
        tracing::warn!(
            lane_id = %lane, failures, seconds, error, "the receiver does not work: its lane is closed"
        );
    } else if change.failures == 0 && claimed.failures > Some(0) {
        tracing::info!(lane_id = %lane, failures = claimed.failures, "the receiver works again");
    }
}

/// Returns `None` if nothing was sent and the attempt does not count.
async fn attempt(context: &Context, claimed: &Claimed, lease_start: Instant) -> Option<AttemptResult> {
    if let Some(why) = too_late(claimed) {
        return Some(AttemptResult::not_sent(why));
    }
    match prepare(context, claimed).await {
        Ok(Prepared { plan, headers, body }) => {
            // If the lease expired before the result is recorded, another dispatcher would send it again.
            if lease_start.elapsed() + context.client.total_timeout() + TIME_TO_RECORD > LEASE {
                tracing::warn!("webhook not sent: too little of the lease is left");
                return None;
            }
            Some(context.client.post(plan.as_deref(), &claimed.url, headers, body).await)
        }
        Err(NotPrepared::Outage) => None,
        Err(NotPrepared::Never(message)) => Some(AttemptResult::not_sent(message)),
    }
}

/// Why nothing may be sent any more.
fn too_late(claimed: &Claimed) -> Option<&'static str> {
    const NOT_RECORDED: &str = "The results of the last attempts could not be recorded.";
    if claimed.is_ping() {
        // A test is sent once, while the client that asked for it waits.
        return match claimed.in_schedule() {
            1 if claimed.age() <= PING_WAIT => None,
            1 => Some("The test was not sent in time."),
            _ => Some(NOT_RECORDED),
        };
    }
    let number = usize::try_from(claimed.in_schedule()).unwrap_or(usize::MAX);
    (number > retry::ATTEMPTS).then_some(NOT_RECORDED)
}

/// Returns whether this call recorded the attempt.
async fn record_result(
    context: &Context,
    claimed: &Claimed,
    mut result: AttemptResult,
    next: Next,
) -> Recorded {
    for _ in 0..RECORD_TRIES {
        let (owner, result_now) = (&context.dispatcher, &result);
        let recorded = context
            .db
            .write(|mut conn| async move { record(&mut conn, owner, claimed, result_now, next).await });
        match recorded.await {
            Ok(recorded) if recorded.written => return recorded,
            Ok(recorded) => {
                metrics::counter!("capi_stale_writes_total").increment(1);
                tracing::warn!("stale write: the lease was lost, or the attempt is recorded");
                return recorded;
            }
            Err(error) => {
                tracing::warn!(%error, "failed to record a webhook attempt");
                if !error.is_outage() {
                    // The database most likely refuses text of the receiver. Losing it is better than a
                    // second delivery.
                    result = AttemptResult { message: None, response_body: None, ..result };
                }
                tokio::time::sleep(RECORD_INTERVAL).await;
            }
        }
    }
    tracing::error!("gave up recording a webhook attempt; its lease will expire");
    Recorded::default()
}
