//! One delivery attempt, top to bottom: prepare the request (`prepare`), send it, record the result. No
//! database connection is held while the request is in flight. The log lines carry the delivery's span, which
//! the consumer opens.

use std::sync::Arc;
use std::time::Duration;

use shared::deliveries::{DeliveryError, DeliveryStatus, PING_WAIT};
use tokio::time::Instant;

use crate::attempt::{AttemptResult, Next};
use crate::circuit::{self, Health};
use crate::claims::{Claimed, LEASE};
use crate::context::Context;
use crate::prepare::{NotPrepared, Prepared, prepare};
use crate::record::{Record, Recorded};
use crate::retry;
use crate::take::{Leased, LoadedRun};

const RECORD_INTERVAL: Duration = Duration::from_millis(500);
/// After this many failures the result is lost: the lease expires and the receiver gets the webhook twice.
const RECORD_TRIES: usize = 20;
/// What must remain of the lease after the longest request.
const TIME_TO_RECORD: Duration = Duration::from_secs(5);
/// After this many claims in a row whose leases expired, nothing is sent any more: the webhook may be what
/// ends the dispatchers. With a lease of 30 s this takes a quarter of an hour at least.
pub const LOST_CLAIMS: i32 = 30;

/// Sends a claimed delivery and records the result. Returns false if nothing was sent and the claim was given
/// back.
pub async fn deliver(context: &Context, leased: Leased) -> bool {
    let Leased { claimed, run, since, share: _share } = leased;
    if claimed.lost_claims > 0 {
        metrics::counter!("capi_webhook_claims_lost_total").increment(1);
        let lost = claimed.lost_claims;
        tracing::warn!(lost, "the lease of an earlier claim expired: its result is unknown");
    }
    let Some(result) = attempt(context, &claimed, run, since).await else {
        context.taker.give_back(&[&claimed]).await;
        return false;
    };
    let (status, wait) = if claimed.is_ping() {
        (retry::after_ping(&result), Duration::ZERO)
    } else if claimed.lost_claims >= LOST_CLAIMS {
        (DeliveryStatus::Failed, Duration::ZERO)
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
    context.taker.answering.note(claimed.lane_id, health == Health::Works);
    let lane = circuit::next(claimed.failures, health, rand::random());
    let recorded = record(context, Record::new(&claimed, result, Next { status, wait, lane })).await;
    if let Some(change) = lane.filter(|_| recorded.lane_changed) {
        note_lane(&claimed, change, error);
    }
    if recorded.written && status == DeliveryStatus::Failed && !claimed.is_ping() {
        metrics::counter!("capi_webhook_deliveries_failed_total").increment(1);
        let error = error.map(DeliveryError::as_str);
        tracing::warn!(attempts = claimed.attempt, error, "webhook delivery given up");
    }
    true
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
async fn attempt(
    context: &Context,
    claimed: &Claimed,
    run: LoadedRun,
    lease_start: Instant,
) -> Option<AttemptResult> {
    if let Some(why) = too_late(claimed) {
        return Some(AttemptResult::not_sent(why));
    }
    match prepare(&context.secret_key, claimed, run) {
        Ok(Prepared { headers, body }) => {
            // If the lease expired before the result is recorded, another dispatcher would send it again.
            if lease_start.elapsed() + context.client.total_timeout() + TIME_TO_RECORD > LEASE {
                tracing::warn!("webhook not sent: too little of the lease is left");
                return None;
            }
            Some(context.client.post(&claimed.plan, &claimed.url, headers, body).await)
        }
        Err(NotPrepared(why)) => Some(AttemptResult::not_sent(why)),
    }
}

/// Why nothing may be sent any more.
fn too_late(claimed: &Claimed) -> Option<&'static str> {
    if claimed.lost_claims >= LOST_CLAIMS {
        tracing::error!(lost = claimed.lost_claims, "webhook not sent: too many claims of it were lost");
        return Some(
            "capi could not record what became of this webhook, many times. It is not sent any more.",
        );
    }
    if claimed.is_ping() {
        // A test is sent once, while the client that asked for it waits.
        return (claimed.age() > PING_WAIT).then_some("The test was not sent in time.");
    }
    let number = usize::try_from(claimed.in_schedule()).unwrap_or(usize::MAX);
    // Dispatchers of the former version count claims that were lost.
    (number > retry::ATTEMPTS).then_some("The results of the last attempts could not be recorded.")
}

/// Returns what this call recorded.
async fn record(context: &Context, record: Record) -> Recorded {
    let mut record = Arc::new(record);
    for _ in 0..RECORD_TRIES {
        match context.records.call(Arc::clone(&record)).await {
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
                    record = Arc::new(record.without_texts());
                }
                tokio::time::sleep(RECORD_INTERVAL).await;
            }
        }
    }
    tracing::error!("gave up recording a webhook attempt; its lease will expire");
    Recorded::default()
}
