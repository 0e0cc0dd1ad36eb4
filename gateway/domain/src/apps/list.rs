//! The apps of an account.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::apps::AppDefinition;
use shared::db::{Db, DbError, statement};
use shared::ids::{AppId, UserId};

use crate::page::Position;

/// An app with the number of its current version.
#[derive(Debug, QueryableByName)]
pub struct App {
    #[diesel(sql_type = SqlUuid)]
    pub id: AppId,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Bool)]
    pub archived: bool,
    #[diesel(sql_type = Jsonb)]
    definition: Value,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

impl App {
    #[must_use]
    pub fn position(&self) -> Position {
        Position { at: self.created_at, id: self.id.uuid() }
    }

    /// The definition of the current version. `None`, with an error in the log, if this build cannot read it.
    #[must_use]
    pub fn definition(&self) -> Option<AppDefinition> {
        serde_json::from_value(self.definition.clone())
            .inspect_err(
                |error| tracing::error!(app_id = %self.id, %error, "failed to read a stored definition"),
            )
            .ok()
    }
}

/// The user's apps, newest first. `only` limits the list to one app.
pub async fn list(
    db: &Db,
    user: UserId,
    only: Option<AppId>,
    after: Option<Position>,
    rows: i64,
) -> Result<Vec<App>, DbError> {
    const SQL: &str = "
        SELECT a.id, v.version, a.archived_at IS NOT NULL AS archived, v.definition,
               a.created_at, a.updated_at
        FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
        WHERE a.user_id = $1 AND ($2 IS NULL OR a.id = $2) AND ($3 IS NULL OR (a.created_at, a.id) < ($3, $4))
        ORDER BY a.created_at DESC, a.id DESC LIMIT $5";
    db.read(|mut conn| async move {
        Ok(statement(SQL)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Nullable<SqlUuid>, _>(only.map(AppId::uuid))
            .bind::<Nullable<Timestamptz>, _>(after.map(|position| position.at))
            .bind::<Nullable<SqlUuid>, _>(after.map(|position| position.id))
            .bind::<BigInt, _>(rows)
            .load(&mut conn)
            .await?)
    })
    .await
}

/// The user's app in this version, or in its current one.
pub async fn load(db: &Db, user: UserId, app: AppId, version: Option<i32>) -> Result<Option<App>, DbError> {
    const SQL: &str = "
        SELECT a.id, v.version, a.archived_at IS NOT NULL AS archived, v.definition,
               a.created_at, a.updated_at
        FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = coalesce($3, a.current_version)
        WHERE a.user_id = $1 AND a.id = $2";
    db.read(|mut conn| async move {
        let mut found: Vec<App> = statement(SQL)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<SqlUuid, _>(app.uuid())
            .bind::<Nullable<Integer>, _>(version)
            .load(&mut conn)
            .await?;
        Ok(found.pop())
    })
    .await
}

/// The id and name of an app.
#[derive(Debug, QueryableByName)]
pub struct AppName {
    #[diesel(sql_type = SqlUuid)]
    pub id: AppId,
    #[diesel(sql_type = Text)]
    pub name: String,
}

/// Apps that are not archived, by name, at most `limit`.
pub async fn names(db: &Db, user: UserId, limit: i64) -> Result<Vec<AppName>, DbError> {
    const SQL: &str =
        "SELECT id, name FROM apps WHERE user_id = $1 AND archived_at IS NULL ORDER BY name LIMIT $2";
    db.read(|mut conn| async move {
        Ok(statement(SQL).bind::<SqlUuid, _>(user.uuid()).bind::<BigInt, _>(limit).load(&mut conn).await?)
    })
    .await
}
