//! How a worker releases a run that it did not finish: it gives the run back, or it records that it lost the
//! run.

use std::time::Duration;

use shared::db::{Connection, DbError};
use shared::queue::Broadcast;
use shared::runs::Fence;

use super::LeaseContext;
use super::held::Lost;
use super::store;
use crate::retry_on_outage::retry_on_outage;

/// How long a stopping worker may take to record a release.
const STOPPING_LIMIT: Duration = Duration::from_secs(2);

/// Why the worker releases a run that it did not give back.
#[derive(Clone, Copy)]
pub enum ReleaseReason {
    Lost(Lost),
    /// The fence rejected a write.
    StaleWrite,
}

/// Gives the run back, so that another worker continues it at once. Returns a reason if this worker no longer
/// held it.
pub async fn give_back(context: &LeaseContext, fence: Fence) -> Option<ReleaseReason> {
    match context.db.write(|mut conn| async move { store::give_back(&mut conn, fence).await }).await {
        Ok(true) => {
            context.publisher.broadcast(Broadcast::LeaseReleased(fence.run));
            tracing::info!("gave the run back");
            None
        }
        Ok(false) => Some(ReleaseReason::StaleWrite),
        Err(error) => {
            tracing::warn!(%error, "failed to give the run back; its lease will expire");
            None
        }
    }
}

/// What the row of a released run says.
enum Row {
    /// This worker still held the run, which it could not know. The run is given back now.
    GivenBack,
    /// The run was cancelled so many seconds ago.
    Cancelled(f64),
    /// Another worker holds the run, or the run is over.
    NotHeld,
}

async fn settle(conn: &mut Connection, fence: Fence, reason: ReleaseReason) -> Result<Row, DbError> {
    if matches!(reason, ReleaseReason::Lost(Lost::Expired)) && store::give_back(conn, fence).await? {
        return Ok(Row::GivenBack);
    }
    Ok(store::record_cancel_release(conn, fence).await?.map_or(Row::NotHeld, Row::Cancelled))
}

/// Records why the run was released: in the log, in the metrics and, for a cancelled run, in its row. Call it
/// after the model's stream is closed and the tools have ended. Returns whether the run was cancelled.
pub async fn record_release(context: &LeaseContext, fence: Fence, reason: ReleaseReason) -> bool {
    let what = "record the release of a run";
    let settling = retry_on_outage(&context.db, context.config, what, |mut conn| async move {
        settle(&mut conn, fence, reason).await
    });
    let stopped = async {
        context.lifecycle.stopping().cancelled().await;
        tokio::time::sleep(STOPPING_LIMIT).await;
    };
    let row = tokio::select! {
        row = settling => row.inspect_err(|error| {
            tracing::warn!(%error, "failed to record the release of the run");
        }).ok(),
        () = stopped => None,
    };
    let reason_label = match (&row, reason) {
        (Some(Row::Cancelled(_)), _) => "cancelled",
        (Some(Row::GivenBack), _) | (_, ReleaseReason::Lost(Lost::Expired)) => "lease_expired",
        (_, ReleaseReason::StaleWrite) => "stale_write",
        (Some(Row::NotHeld), ReleaseReason::Lost(Lost::Rejected)) => "taken_over",
        (None, ReleaseReason::Lost(Lost::Rejected)) => "unknown",
    };
    let cancelled = matches!(row, Some(Row::Cancelled(_)));
    match row {
        Some(Row::Cancelled(seconds)) => {
            metrics::histogram!("capi_cancel_release_duration_seconds").record(seconds);
        }
        Some(Row::GivenBack) => context.publisher.broadcast(Broadcast::LeaseReleased(fence.run)),
        Some(Row::NotHeld) | None => {}
    }
    if matches!(reason, ReleaseReason::StaleWrite) {
        metrics::counter!("capi_stale_writes_total").increment(1);
    }
    metrics::counter!("capi_leases_released_total", "reason" => reason_label).increment(1);
    tracing::warn!(reason = reason_label, "released the run; this worker writes nothing more to it");
    cancelled
}
