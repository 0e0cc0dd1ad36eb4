//! Takes over runs whose worker went silent or gave them back, past the queue, while there are free permits. In the
//! first lease time after it lost and regained the database it takes nothing: the others had no way to renew
//! either.

use std::sync::Arc;
use std::time::Duration;

use shared::db::DbError;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::claim::take_over;
use crate::context::Context;
use crate::execute::spawn;

const INTERVAL: Duration = Duration::from_secs(5);

/// Until the process stops.
pub async fn reap(context: Arc<Context>, permits: Arc<Semaphore>) {
    let mut patience: Option<Instant> = None;
    let interval = INTERVAL.min(context.lease.heartbeat());
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = context.lifecycle.stopping().cancelled() => return,
        }
        if patience.is_some_and(|until| Instant::now() < until) {
            if !context.db.is_up().await {
                patience = Some(Instant::now() + context.lease.lease());
            }
            continue;
        }
        if let Err(error) = take_expired(&context, &permits).await {
            tracing::warn!(%error, "expired leases are not looked for: the database does not answer");
            patience = Some(Instant::now() + context.lease.lease());
        }
    }
}

async fn take_expired(context: &Arc<Context>, permits: &Arc<Semaphore>) -> Result<(), DbError> {
    let free = permits.available_permits();
    // Reserved before the claim: a run that is taken over must not wait for a permit under its lease.
    let Some(reserved) = u32::try_from(free).ok().filter(|free| *free > 0) else {
        return Ok(());
    };
    let Ok(mut reserved) = Arc::clone(permits).try_acquire_many_owned(reserved) else {
        return Ok(());
    };
    let sent = Instant::now();
    let mut conn = context.db.get().await?;
    let taken = take_over(&mut conn, &context.claimant, i64::try_from(free).unwrap_or(i64::MAX)).await?;
    for claimed in taken {
        let Some(permit) = reserved.split(1) else { break };
        tracing::info!(run_id = %claimed.id, attempt = claimed.attempt, losses = claimed.losses, "run taken over");
        metrics::counter!("capi_runs_taken_over_total").increment(1);
        spawn(context, claimed, sent, permit);
    }
    Ok(())
}
