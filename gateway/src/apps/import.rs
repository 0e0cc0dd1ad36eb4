//! Stores an agent app: a new version where its definition changed.

use diesel::QueryableByName;
use diesel::sql_types::{Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;
use shared::apps::AppDefinition;
use shared::db::{Connection, DbError, lock_user, statement};
use shared::ids::{AppId, AppVersionId, UserId};

#[derive(QueryableByName)]
struct ExistingRow {
    #[diesel(sql_type = SqlUuid)]
    id: AppId,
    #[diesel(sql_type = Integer)]
    current_version: i32,
    #[diesel(sql_type = Nullable<Jsonb>)]
    definition: Option<serde_json::Value>,
}

/// Stores the definition as the user's app of that name; an unchanged one makes no new version. Returns the app and
/// its version.
pub async fn import(
    conn: &mut Connection,
    user: UserId,
    definition: &AppDefinition,
) -> Result<(AppId, i32), DbError> {
    let stored = json!(definition);
    conn.build_transaction()
        .run(async |conn| {
            // Two imports at once would both make the same version.
            lock_user(conn, user).await?;
            let existing: Option<ExistingRow> = statement(
                "SELECT a.id, a.current_version, v.definition
                 FROM apps a LEFT JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
                 WHERE a.user_id = $1 AND a.name = $2 AND a.archived_at IS NULL",
            )
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Text, _>(&definition.name)
            .load(conn)
            .await?
            .pop();
            let (app, version) = match existing {
                Some(row) if row.definition.as_ref() == Some(&stored) => return Ok((row.id, row.current_version)),
                Some(row) => (row.id, row.current_version + 1),
                None => (AppId::generate(), 1),
            };
            statement(
                "INSERT INTO apps (id, user_id, name, current_version) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (id) DO UPDATE SET current_version = EXCLUDED.current_version, updated_at = capi_now()",
            )
            .bind::<SqlUuid, _>(app.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Text, _>(&definition.name)
            .bind::<Integer, _>(version)
            .execute(conn)
            .await?;
            statement("INSERT INTO app_versions (id, app_id, version, definition) VALUES ($1, $2, $3, $4)")
                .bind::<SqlUuid, _>(AppVersionId::generate().uuid())
                .bind::<SqlUuid, _>(app.uuid())
                .bind::<Integer, _>(version)
                .bind::<Jsonb, _>(&stored)
                .execute(conn)
                .await?;
            Ok((app, version))
        })
        .await
}
