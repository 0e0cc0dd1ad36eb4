//! What a run's page shows beside the thread: the run as the API shows it, and the budget that its version and plan give it.

use diesel::QueryableByName;
use diesel::sql_types::{Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::apps::{AppDefinition, Limits};
use shared::db::{Connection, DbError, statement};
use shared::ids::{RunId, UserId};
use shared::runs::RunView;

use crate::context::Context;
use crate::error::ApiError;

/// A run and its limits.
pub(super) struct Shown {
    pub(super) run: RunView,
    pub(super) limits: Limits,
}

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

/// The user's run; without inputs and result unless they are `wanted`.
pub(super) async fn load(
    context: &Context,
    user: UserId,
    run: RunId,
    wanted: bool,
) -> Result<Shown, ApiError> {
    let viewer = &context.viewer;
    let loading = context.db.read(|mut conn| async move {
        let found = viewer.load_all(&mut conn, user, &[run], wanted).await?.pop();
        let Some(view) = found else { return Ok(None) };
        Ok(pinned(&mut conn, run).await?.map(|row| (view, row)))
    });
    let (run, row) = loading.await?.ok_or(ApiError::NotFound("run"))?;
    let app: AppDefinition =
        serde_json::from_value(row.definition).map_err(|error| ApiError::fault(&error))?;
    Ok(Shown { run, limits: app.limits.under(context.plans.get(&row.plan)) })
}
