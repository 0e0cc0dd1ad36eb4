//! Renews the leases of the process and finds the lost ones. One statement renews all of them every third of
//! a lease. Suspected runs, which a broadcast says were cancelled, are renewed at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use shared::runs::Fence;
use tokio::time::Instant;

use super::LeaseContext;
use super::store::renew;

/// How often the local clock is compared with the leases.
const EXPIRY_POLL: Duration = Duration::from_millis(250);
/// The same while the process holds none. A new lease is much longer.
const IDLE_POLL: Duration = Duration::from_secs(1);
/// The pause before runs whose rows were locked are renewed again.
const LOCKED_RETRY: Duration = Duration::from_millis(100);

/// Runs until all tasks that could hold a run have ended.
pub async fn run(context: Arc<LeaseContext>) {
    let expiring = async {
        let idle_poll = (context.config.lease() / 12).min(IDLE_POLL);
        loop {
            let is_idle = context.held.expire(Instant::now()) == 0;
            tokio::time::sleep(if is_idle { idle_poll } else { EXPIRY_POLL }).await;
        }
    };
    let renewing = async {
        let mut ticks = tokio::time::interval(context.config.heartbeat());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let held = context.held.fences();
            metrics::gauge!("capi_leases_held").set(u32::try_from(held.len()).unwrap_or(u32::MAX));
            if !held.is_empty() && matches!(renew_these(&context, &held).await, Answer::None) {
                ticks.reset_after(context.config.retry());
            }
        }
    };
    let checking = async {
        loop {
            let suspects = context.held.suspects().await;
            match renew_these(&context, &suspects).await {
                Answer::Whole => {}
                Answer::SomeLocked => tokio::time::sleep(LOCKED_RETRY).await,
                Answer::None => tokio::time::sleep(context.config.retry()).await,
            }
        }
    };
    tokio::select! {
        () = expiring => {}
        () = renewing => {}
        () = checking => {}
        () = context.lifecycle.flushing().cancelled() => {}
    }
}

/// The database's answer to a renewal.
enum Answer {
    Whole,
    SomeLocked,
    None,
}

/// Renews. If no answer comes soon, sends the same renewal over a second connection, because the first may be
/// dead without an error. The first one stays in flight: if the database is only slow, that statement holds
/// the rows, and its answer counts.
async fn renew_these(context: &LeaseContext, held: &[Fence]) -> Answer {
    let second = async {
        tokio::time::sleep(context.config.hedge_after()).await;
        send_renewal(context, held).await
    };
    let sending = async {
        match select(pin!(send_renewal(context, held)), pin!(second)).await {
            Either::Left((answer, _)) | Either::Right((answer @ Answer::Whole, _)) => answer,
            Either::Right((_, first)) => first.await,
        }
    };
    tokio::time::timeout(context.config.heartbeat(), sending).await.unwrap_or_else(|_| {
        tracing::warn!(runs = held.len(), "failed to renew leases: no answer from the database in time");
        Answer::None
    })
}

async fn send_renewal(context: &LeaseContext, held: &[Fence]) -> Answer {
    let (sent, lease) = (Instant::now(), context.config.lease());
    let renewing = context.lease_db.write(|mut conn| async move { renew(&mut conn, held, lease).await });
    match renewing.await {
        Ok(renewed) => {
            context.held.apply(held, &renewed, sent);
            if renewed.locked.is_empty() { Answer::Whole } else { Answer::SomeLocked }
        }
        Err(error) => {
            tracing::warn!(%error, runs = held.len(), "failed to renew leases");
            Answer::None
        }
    }
}
