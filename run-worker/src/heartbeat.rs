//! Keeps the process's leases alive, and finds out which of them are lost: one statement renews them all every third of a
//! lease, and those that somebody said were cancelled at once.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::RunId;
use tokio::time::Instant;

use crate::claim::renew;
use crate::context::Context;

/// How often the local clock is compared with the leases.
const WATCH: Duration = Duration::from_millis(250);
/// After a renewal that did not come about.
const RETRY: Duration = Duration::from_secs(1);

/// Renews until every task that could hold a run has ended.
pub async fn beat(context: Arc<Context>) {
    let watching = async {
        loop {
            tokio::time::sleep(WATCH).await;
            context.leases.drop_expired(Instant::now());
        }
    };
    let renewing = async {
        let mut ticks = tokio::time::interval(context.lease.heartbeat());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !renew_all(&context).await {
                ticks.reset_after(RETRY);
            }
        }
    };
    let checking = async {
        loop {
            let suspects = context.leases.suspects().await;
            if !renew_these(&context, &suspects).await {
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    tokio::select! {
        () = watching => {}
        () = renewing => {}
        () = checking => {}
        () = context.lifecycle.flushing().cancelled() => {}
    }
}

/// Whether nothing is left to renew until the next beat.
async fn renew_all(context: &Context) -> bool {
    let held = context.leases.fences();
    metrics::gauge!("capi_runs_held").set(u32::try_from(held.len()).unwrap_or(u32::MAX));
    held.is_empty() || renew_these(context, &held).await
}

/// Whether the database answered.
async fn renew_these(context: &Context, held: &[(RunId, i32)]) -> bool {
    let sent = Instant::now();
    let lease = context.lease.lease();
    let renewing = context.db.write(|mut conn| async move { renew(&mut conn, held, lease).await });
    match tokio::time::timeout(context.lease.heartbeat(), renewing).await {
        Ok(Ok(kept)) => {
            context.leases.renewed(held, &kept.into_iter().collect(), sent);
            return true;
        }
        Ok(Err(error)) => tracing::warn!(%error, runs = held.len(), "leases are not renewed"),
        Err(_) => tracing::warn!(runs = held.len(), "leases are not renewed in time"),
    }
    false
}
