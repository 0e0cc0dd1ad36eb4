//! Says when a run that was ended behind its worker's back was let go: the model's stream is closed, the tools are gone.

use diesel::QueryableByName;
use diesel::sql_types::{Double, Integer, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::ids::RunId;

use crate::context::Context;

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

async fn release(conn: &mut Connection, (run, attempt): (RunId, i32)) -> Result<Option<f64>, DbError> {
    let mut rows: Vec<ReleasedRow> =
        statement(RELEASE).bind::<SqlUuid, _>(run.uuid()).bind::<Integer, _>(attempt).load(conn).await?;
    Ok(rows.pop().map(|row| row.seconds))
}

/// Whether the run had been cancelled; `released_at` is on its row then.
pub(crate) async fn note_release(context: &Context, fence: (RunId, i32)) -> bool {
    match context.db.write(|mut conn| async move { release(&mut conn, fence).await }).await {
        Ok(Some(seconds)) => {
            metrics::histogram!("capi_cancel_release_seconds").record(seconds);
            tracing::info!(seconds, "the cancelled run is let go");
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%error, "it is not noted that the run was let go");
            false
        }
    }
}
