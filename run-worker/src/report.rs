//! Tells that this worker takes runs, so that whoever asks why a run waits can be told if nobody does.

use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::queue::BrokerHealth;
use shared::runs::WORKERS_REPORT_WITHIN;

use crate::context::Context;

/// How often there is a look whether nudges can arrive.
const LOOK: Duration = Duration::from_millis(100);
/// After a report that went wrong.
const RETRY: Duration = Duration::from_secs(1);

/// For a stopping worker that takes its report back.
const TAKE_BACK: Duration = Duration::from_secs(2);

/// Reports of workers that died long ago are no use to anybody; there are few of them.
const REPORT: &str = "
WITH forgotten AS (DELETE FROM workers WHERE reported_at < capi_now() - interval '1 hour' AND id <> $1)
INSERT INTO workers (id, reported_at) VALUES ($1, capi_now())
ON CONFLICT (id) DO UPDATE SET reported_at = EXCLUDED.reported_at";

async fn execute(conn: &mut Connection, sql: &'static str, worker: &str) -> Result<(), DbError> {
    statement(sql).bind::<Text, _>(worker).execute(conn).await?;
    Ok(())
}

/// Reports three times as often as it must, while nudges can arrive; a worker that stops takes its report back.
pub(crate) async fn report(context: Arc<Context>, consuming: BrokerHealth) {
    let (db, worker) = (&context.db, context.claimant.worker.as_str());
    let stopping = context.lifecycle.stopping();
    // Only the pause is broken off: a report that is on its way could arrive after it was taken back.
    while !stopping.is_cancelled() {
        let pause = if !consuming.is_up() {
            LOOK
        } else if let Err(error) =
            db.write(|mut conn| async move { execute(&mut conn, REPORT, worker).await }).await
        {
            tracing::warn!(%error, "the worker cannot report");
            RETRY
        } else {
            WORKERS_REPORT_WITHIN / 3
        };
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = stopping.cancelled() => {} }
    }
    let gone = "DELETE FROM workers WHERE id = $1";
    let taking_back = db.write(|mut conn| async move { execute(&mut conn, gone, worker).await });
    if !matches!(tokio::time::timeout(TAKE_BACK, taking_back).await, Ok(Ok(()))) {
        tracing::warn!("the worker's report stays until it is old");
    }
}
