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
/// Until what was locked is asked for again.
const LOCKED: Duration = Duration::from_millis(100);

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
        let mut renewals = Renewals::over(&context);
        loop {
            ticks.tick().await;
            let held = context.leases.fences();
            metrics::gauge!("capi_runs_held").set(u32::try_from(held.len()).unwrap_or(u32::MAX));
            if !held.is_empty() && matches!(renewals.renew(&held).await, Answer::None) {
                ticks.reset_after(RETRY);
            }
        }
    };
    let checking = async {
        let mut renewals = Renewals::over(&context);
        loop {
            let suspects = context.leases.suspects().await;
            match renewals.renew(&suspects).await {
                Answer::Whole => {}
                Answer::SomeLocked => tokio::time::sleep(LOCKED).await,
                Answer::None => tokio::time::sleep(RETRY).await,
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

/// What the database said to a renewal.
enum Answer {
    Whole,
    SomeLocked,
    None,
}

/// Renewals one after the other, each under a deadline: a connection may be dead without a word, and the next one alive. The
/// deadline grows while there is no answer: the database may just be slow.
struct Renewals<'a> {
    context: &'a Context,
    within: Duration,
}

impl<'a> Renewals<'a> {
    fn over(context: &'a Context) -> Self {
        Self { context, within: context.lease.first_deadline() }
    }

    async fn renew(&mut self, held: &[(RunId, i32)]) -> Answer {
        let (context, sent) = (self.context, Instant::now());
        let lease = context.lease.lease();
        let renewing = context.lease_db.write(|mut conn| async move { renew(&mut conn, held, lease).await });
        match tokio::time::timeout(self.within, renewing).await {
            Ok(Ok(renewed)) => {
                context.leases.renewed(held, &renewed, sent);
                self.within = context.lease.first_deadline();
                return if renewed.locked.is_empty() { Answer::Whole } else { Answer::SomeLocked };
            }
            Ok(Err(error)) => tracing::warn!(%error, runs = held.len(), "leases are not renewed"),
            Err(_) => {
                tracing::warn!(runs = held.len(), within = ?self.within, "leases are not renewed in time");
                self.within = (self.within * 2).min(context.lease.heartbeat());
            }
        }
        Answer::None
    }
}
