//! How a worker lets a run go that is not over by its hand: it gives the run back, or finds that the run is somebody else's, or
//! over, and says so.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Double, Integer, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::ids::RunId;
use shared::queue::Broadcast;

use crate::claim::give_back;
use crate::context::Context;
use crate::leases::Lost;
use crate::retry_on_outage::retry_on_outage;

/// A stopping worker waits this long to note when it let a run go.
const LAST_NOTE: Duration = Duration::from_secs(2);

/// Why a run is let go that was not given back.
#[derive(Clone, Copy)]
pub(crate) enum LetGo {
    Lost(Lost),
    /// A write found the row changed.
    WriteRefused,
}

/// Gives the run back, so that another worker goes on at once; or says that there was nothing to give.
pub(crate) async fn hand_over(context: &Context, fence: (RunId, i32)) -> Option<LetGo> {
    match context.db.write(|mut conn| async move { give_back(&mut conn, fence).await }).await {
        Ok(true) => {
            context.publisher.broadcast(Broadcast::LeaseReleased(fence.0));
            tracing::info!("run given back");
            None
        }
        Ok(false) => Some(LetGo::WriteRefused),
        Err(error) => {
            tracing::warn!(%error, "run not given back; its lease will expire");
            None
        }
    }
}

/// Only a cancelled run's, and once: one that was taken over is its new worker's.
const RELEASE: &str = "
UPDATE runs SET released_at = capi_now()
WHERE id = $1 AND attempt = $2 AND status = 'cancelled' AND released_at IS NULL
RETURNING extract(epoch FROM released_at - completed_at)::double precision AS seconds";

#[derive(QueryableByName)]
struct ReleasedRow {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

/// Seconds between the cancel and now, which is noted on the row; none where the run was not cancelled.
async fn release(conn: &mut Connection, (run, attempt): (RunId, i32)) -> Result<Option<f64>, DbError> {
    let mut rows: Vec<ReleasedRow> =
        statement(RELEASE).bind::<SqlUuid, _>(run.uuid()).bind::<Integer, _>(attempt).load(conn).await?;
    Ok(rows.pop().map(|row| row.seconds))
}

/// What was found on the row of a run that was let go.
enum Found {
    /// It was this worker's still, though that could not be known: it is given back.
    GivenBack,
    /// It was cancelled so many seconds ago.
    Cancelled(f64),
    /// It is another worker's, or over.
    NotOurs,
}

async fn find_out(conn: &mut Connection, fence: (RunId, i32), let_go: LetGo) -> Result<Found, DbError> {
    if matches!(let_go, LetGo::Lost(Lost::RanOut)) && give_back(conn, fence).await? {
        return Ok(Found::GivenBack);
    }
    Ok(release(conn, fence).await?.map_or(Found::NotOurs, Found::Cancelled))
}

/// Says why the run was let go, and notes it on the row of a cancelled one. The model's stream is closed and the tools are gone.
pub(crate) async fn tell_why(context: &Context, fence: (RunId, i32), let_go: LetGo) {
    let finding_out = retry_on_outage(context, "to note that a run was let go", |mut conn| async move {
        find_out(&mut conn, fence, let_go).await
    });
    let no_longer = async {
        context.lifecycle.stopping().cancelled().await;
        tokio::time::sleep(LAST_NOTE).await;
    };
    let found = tokio::select! {
        found = finding_out => found.inspect_err(|error| {
            tracing::warn!(%error, "it is not noted when the run was let go");
        }).ok(),
        () = no_longer => None,
    };
    let why = match (found, let_go) {
        (Some(Found::Cancelled(seconds)), _) => {
            metrics::histogram!("capi_cancel_release_seconds").record(seconds);
            "cancelled"
        }
        (Some(Found::GivenBack), _) => {
            context.publisher.broadcast(Broadcast::LeaseReleased(fence.0));
            "lease_ran_out"
        }
        (_, LetGo::Lost(Lost::RanOut)) => "lease_ran_out",
        (_, LetGo::WriteRefused) => "write_refused",
        (Some(Found::NotOurs), LetGo::Lost(Lost::Refused)) => "taken_over",
        (None, LetGo::Lost(Lost::Refused)) => "unknown",
    };
    if matches!(let_go, LetGo::WriteRefused) {
        metrics::counter!("capi_writes_fenced_total").increment(1);
    }
    metrics::counter!("capi_runs_let_go_total", "why" => why).increment(1);
    tracing::warn!(why, "the run is no longer this worker's; nothing more is written");
}
