//! What a run's page shows beside the run itself: the budget that its version and plan give it.

use diesel::QueryableByName;
use diesel::sql_types::{Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::apps::{AppDefinition, Limits};
use shared::db::{Connection, DbError, statement};
use shared::ids::{RunId, UserId};
use shared::runs::{RunStatus, status};

use crate::context::Context;
use crate::error::ApiError;

#[derive(QueryableByName)]
struct PinnedRow {
    #[diesel(sql_type = Jsonb)]
    definition: Value,
    #[diesel(sql_type = Text)]
    plan: String,
}

async fn pinned(conn: &mut Connection, run: RunId) -> Result<Option<PinnedRow>, DbError> {
    let sql = "SELECT v.definition, u.plan FROM runs r JOIN app_versions v ON v.id = r.app_version_id JOIN users u ON u.id = r.user_id
               WHERE r.id = $1";
    Ok(statement(sql).bind::<SqlUuid, _>(run.uuid()).load(conn).await?.pop())
}

/// The limits of a run that is known to be the visitor's.
pub(super) async fn limits(context: &Context, run: RunId) -> Result<Limits, ApiError> {
    let loading = context.db.read(|mut conn| async move { pinned(&mut conn, run).await });
    let row = loading.await?.ok_or(ApiError::NotFound("run"))?;
    let app: AppDefinition =
        serde_json::from_value(row.definition).map_err(|error| ApiError::fault(&error))?;
    Ok(app.limits.under(context.plans.get(&row.plan)))
}

/// How the user's run stands; a run of somebody else is none.
pub(super) async fn status_of(context: &Context, user: UserId, run: RunId) -> Result<RunStatus, ApiError> {
    let asking = context.db.read(|mut conn| async move { status(&mut conn, user, None, run).await });
    asking.await?.ok_or(ApiError::NotFound("run"))
}
