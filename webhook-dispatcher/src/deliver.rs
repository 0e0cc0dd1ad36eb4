//! One delivery, top to bottom: render the finished run, sign, send, record. No database connection is held while
//! the request is in flight.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use shared::deliveries::DeliveryStatus;
use shared::ids::LaneId;
use shared::queue::WorkQueue;
use shared::text::CleanText;
use shared::webhook_secrets::{self, SecretsError};
use tokio::time::Instant;

use crate::attempt::{Attempted, Claimed, LEASE, give_back, record};
use crate::context::Context;
use crate::{client, request, retry, signature};

const RETRY_WRITE: Duration = Duration::from_millis(500);
/// Until a delivery is claimed again that could not be sent because of the database.
const NOT_SENT_WAIT: Duration = Duration::from_secs(5);
/// What must be left of the lease when the longest request is over.
const TIME_TO_RECORD: Duration = Duration::from_secs(5);
/// A result that the database does not take in this time is left to the next claim; the receiver sees it twice.
const WRITE_TRIES: usize = 20;

/// Sends a delivery that was claimed by a statement sent at `sent`, and records what came of it.
pub async fn deliver(context: &Arc<Context>, claimed: &Claimed, lane: LaneId, sent: Instant) {
    let Some(attempted) = attempt(context, claimed, sent).await else {
        metrics::counter!("capi_webhook_attempts_abandoned_total").increment(1);
        let by = &context.dispatcher;
        let giving = context
            .db
            .write(|mut conn| async move { give_back(&mut conn, by, claimed, NOT_SENT_WAIT).await });
        if let Err(error) = giving.await {
            tracing::warn!(delivery_id = %claimed.id, %error, "not given back; its lease will expire");
        }
        return;
    };
    let age = (claimed.claimed_at - claimed.created_at).to_std().unwrap_or_default();
    let (status, wait) = retry::after(claimed.attempt, &attempted, age, rand::random());
    metrics::counter!("capi_webhook_attempts_total", "status" => status.as_str()).increment(1);
    metrics::histogram!("capi_webhook_attempt_seconds").record(attempted.duration.as_secs_f64());
    tracing::info!(
        delivery_id = %claimed.id, run_id = %claimed.run_id, attempt = claimed.attempt, status = status.as_str(),
        status_code = attempted.status_code, error = attempted.error.as_deref(), "webhook attempt"
    );
    write_down(context, claimed, &attempted, status, wait).await;
    // Its place in the lane is free, and more may wait there.
    context.publisher.nudge(WorkQueue::Deliveries, lane.uuid());
}

/// One try. `None`: nothing was sent.
async fn attempt(context: &Context, claimed: &Claimed, sent: Instant) -> Option<Attempted> {
    if usize::try_from(claimed.attempt).is_ok_and(|number| number > retry::TRIES) {
        return Some(refused("all tries were begun, and the last ones could not be recorded"));
    }
    match prepare(context, claimed).await {
        Ok(Some((headers, body))) => {
            // The answer has to be recorded under this lease, or the delivery is sent twice at once.
            if sent.elapsed() + client::TOTAL_TIMEOUT + TIME_TO_RECORD > LEASE {
                tracing::warn!(delivery_id = %claimed.id, "not sent: too little of the lease is left; the database is slow");
                return None;
            }
            Some(context.client.post(&claimed.url, headers, body).await)
        }
        Ok(None) => Some(refused("the run or the signing secret is gone")),
        Err(SecretsError::Db(error)) if error.is_outage() => {
            tracing::warn!(delivery_id = %claimed.id, %error, "not sent: the database does not answer");
            None
        }
        Err(SecretsError::Db(error)) => {
            tracing::error!(delivery_id = %claimed.id, %error, "not sent");
            Some(refused("a fault of capi: the run cannot be read"))
        }
        Err(error) => {
            tracing::error!(delivery_id = %claimed.id, %error, "not sent");
            Some(refused("the signing secret cannot be read; the operator must look at CAPI_SECRET_KEY"))
        }
    }
}

async fn prepare(context: &Context, claimed: &Claimed) -> Result<Option<(HeaderMap, Vec<u8>)>, SecretsError> {
    let loading = context.db.read(|mut conn| async move {
        let run = context.viewer.load(&mut conn, claimed.user_id, claimed.run_id).await?;
        Ok((run, webhook_secrets::active(&mut conn, &context.secret_key, claimed.user_id).await))
    });
    let (Some(run), secrets) = loading.await? else {
        return Ok(None);
    };
    let secrets = secrets?;
    let keys: Vec<_> = secrets.iter().filter_map(webhook_secrets::signing_bytes).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let body = request::body(&claimed.r#type, claimed.claimed_at, &run);
    let (id, timestamp) = (claimed.id.to_string(), claimed.claimed_at.timestamp());
    let signature = signature::signature(&keys, &id, timestamp, &body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", timestamp.to_string()), ("webhook-signature", signature)]
    {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    Ok(Some((headers, body)))
}

fn refused(why: &str) -> Attempted {
    Attempted { error: Some(CleanText::new(why, 300)), ..Attempted::default() }
}

async fn write_down(
    context: &Context,
    claimed: &Claimed,
    attempted: &Attempted,
    status: DeliveryStatus,
    wait: Duration,
) {
    let mut attempted = attempted.clone();
    for _ in 0..WRITE_TRIES {
        let (by, written) = (&context.dispatcher, &attempted);
        let writing = context
            .db
            .write(|mut conn| async move { record(&mut conn, by, claimed, written, status, wait).await });
        match writing.await {
            Ok(true) => return,
            Ok(false) => {
                metrics::counter!("capi_writes_fenced_total").increment(1);
                tracing::warn!(delivery_id = %claimed.id, "a write was refused: the delivery is no longer this dispatcher's, or recorded already");
                return;
            }
            Err(error) => {
                tracing::warn!(delivery_id = %claimed.id, %error, "the attempt is not recorded yet");
                if !error.is_outage() {
                    // What the database refuses is most likely in the receiver's words: better without than sent again.
                    attempted = Attempted { error: None, response_body: None, ..attempted };
                }
                tokio::time::sleep(RETRY_WRITE).await;
            }
        }
    }
    tracing::error!(delivery_id = %claimed.id, "the attempt is not recorded; its lease will expire");
}
