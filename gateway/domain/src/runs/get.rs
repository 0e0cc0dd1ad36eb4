//! One run: its view, its status, and the limits that it runs under.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::apps::AppDefinition;
use shared::config::Plans;
use shared::db::{Db, DbError, statement};
use shared::ids::{AppId, RunId, UserId};
use shared::limits::Limits;
use shared::runs::{RunStatus, RunView, Viewer};

use super::RunRef;
use crate::Refusal;

/// A load follows the longest wait and must end before a proxy closes the connection.
const LOAD_DEADLINE: Duration = Duration::from_secs(5);

const UNKNOWN: Refusal = Refusal::NotFound("run");

/// The user's run with inputs and result.
pub async fn load(db: &Db, viewer: &Viewer, user: UserId, run: RunRef) -> Result<RunView, Refusal> {
    let loading = db.read(|mut conn| async move { viewer.load(&mut conn, user, run.run).await });
    let loaded = tokio::time::timeout(LOAD_DEADLINE, loading).await.unwrap_or(Err(DbError::Timeout));
    loaded?.filter(|view| run.includes(view.app_id)).ok_or(UNKNOWN)
}

/// The user's run without inputs and result, which may be large.
pub async fn load_summary(db: &Db, viewer: &Viewer, user: UserId, run: RunId) -> Result<RunView, Refusal> {
    let loading = db.read(|mut conn| async move { viewer.load_all(&mut conn, user, &[run], false).await });
    loading.await?.pop().ok_or(UNKNOWN)
}

/// The status of the user's run.
pub async fn status(db: &Db, user: UserId, run: RunRef) -> Result<RunStatus, Refusal> {
    let reading =
        db.read(|mut conn| async move { shared::runs::status(&mut conn, user, run.app, run.run).await });
    reading.await?.ok_or(UNKNOWN)
}

/// How far a run is.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct Progress {
    #[diesel(sql_type = Text)]
    pub status: RunStatus,
    /// The number of its last event.
    #[diesel(sql_type = BigInt)]
    pub last_seq: i64,
}

/// How far the user's run is, if it exists.
pub async fn progress(db: &Db, user: UserId, run: RunRef) -> Result<Option<Progress>, Refusal> {
    const SQL: &str = "
        SELECT status, last_seq FROM runs WHERE id = $1 AND user_id = $2 AND ($3 IS NULL OR app_id = $3)";
    let reading = db.read(|mut conn| async move {
        let mut rows: Vec<Progress> = statement(SQL)
            .bind::<SqlUuid, _>(run.run.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Nullable<SqlUuid>, _>(run.app.map(AppId::uuid))
            .load(&mut conn)
            .await?;
        Ok(rows.pop())
    });
    Ok(reading.await?)
}

/// The limits that the run's app version and its account's plan set together.
pub async fn limits(db: &Db, plans: &Plans, user: UserId, run: RunId) -> Result<Limits, Refusal> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Jsonb)]
        definition: Value,
        #[diesel(sql_type = Text)]
        plan: String,
    }
    const SQL: &str = "
        SELECT v.definition, u.plan
        FROM runs r JOIN app_versions v ON v.id = r.app_version_id JOIN users u ON u.id = r.user_id
        WHERE r.id = $1 AND r.user_id = $2";
    let loading = db.read(|mut conn| async move {
        let mut rows: Vec<Row> = statement(SQL)
            .bind::<SqlUuid, _>(run.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .load(&mut conn)
            .await?;
        Ok(rows.pop())
    });
    let row = loading.await?.ok_or(UNKNOWN)?;
    let app: AppDefinition =
        serde_json::from_value(row.definition).map_err(|error| Refusal::fault(&error))?;
    Ok(app.limits.under(plans.get(&row.plan)))
}
