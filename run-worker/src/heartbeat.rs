//! Keeps the process's leases alive, and finds out which of them are lost: one statement renews them all every third of a
//! lease, and those that somebody said were cancelled at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use shared::ids::RunId;
use tokio::time::Instant;

use crate::claim::renew;
use crate::context::Context;

/// How often the local clock is compared with the leases.
const WATCH: Duration = Duration::from_millis(250);
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
        loop {
            ticks.tick().await;
            let held = context.leases.fences();
            metrics::gauge!("capi_runs_held").set(u32::try_from(held.len()).unwrap_or(u32::MAX));
            if !held.is_empty() && matches!(renew_these(&context, &held).await, Answer::None) {
                ticks.reset_after(context.lease.retry());
            }
        }
    };
    let checking = async {
        loop {
            let suspects = context.leases.suspects().await;
            match renew_these(&context, &suspects).await {
                Answer::Whole => {}
                Answer::SomeLocked => tokio::time::sleep(LOCKED).await,
                Answer::None => tokio::time::sleep(context.lease.retry()).await,
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

/// Renews, and sends the same once more over another connection where no answer comes soon: a connection may be dead without a
/// word. The first one is not given up for that: where the database is only slow, it holds the rows, and its answer counts.
async fn renew_these(context: &Context, held: &[(RunId, i32)]) -> Answer {
    let again = async {
        tokio::time::sleep(context.lease.patience()).await;
        ask(context, held).await
    };
    let asking = async {
        match select(pin!(ask(context, held)), pin!(again)).await {
            Either::Left((answer, _)) | Either::Right((answer @ Answer::Whole, _)) => answer,
            Either::Right((_, first)) => first.await,
        }
    };
    tokio::time::timeout(context.lease.heartbeat(), asking).await.unwrap_or_else(|_| {
        tracing::warn!(runs = held.len(), "leases are not renewed in time");
        Answer::None
    })
}

async fn ask(context: &Context, held: &[(RunId, i32)]) -> Answer {
    let (sent, lease) = (Instant::now(), context.lease.lease());
    let renewing = context.lease_db.write(|mut conn| async move { renew(&mut conn, held, lease).await });
    match renewing.await {
        Ok(renewed) => {
            context.leases.renewed(held, &renewed, sent);
            if renewed.locked.is_empty() { Answer::Whole } else { Answer::SomeLocked }
        }
        Err(error) => {
            tracing::warn!(%error, runs = held.len(), "leases are not renewed");
            Answer::None
        }
    }
}
