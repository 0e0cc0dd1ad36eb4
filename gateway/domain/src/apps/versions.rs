//! The stored versions of an app. A version never changes.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Db, DbError, statement};
use shared::ids::{AppId, UserId};

/// The newest versions that are listed.
const MAX_LISTED: i64 = 100;

/// A version in a list.
#[derive(Debug, QueryableByName)]
pub struct ListedVersion {
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// The newest versions of the user's app, newest first.
pub async fn list(db: &Db, user: UserId, app: AppId) -> Result<Vec<ListedVersion>, DbError> {
    const SQL: &str = "
        SELECT v.version, v.created_at FROM app_versions v JOIN apps a ON a.id = v.app_id
        WHERE a.id = $1 AND a.user_id = $2 ORDER BY v.version DESC LIMIT $3";
    db.read(|mut conn| async move {
        Ok(statement(SQL)
            .bind::<SqlUuid, _>(app.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<BigInt, _>(MAX_LISTED)
            .load(&mut conn)
            .await?)
    })
    .await
}

/// A version with its definition as it was stored.
#[derive(Debug, Clone, QueryableByName)]
pub struct Version {
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Jsonb)]
    pub definition: Value,
}

/// The versions of the user's app with these numbers. Missing numbers are left out.
pub async fn load(db: &Db, user: UserId, app: AppId, numbers: &[i32]) -> Result<Vec<Version>, DbError> {
    const SQL: &str = "
        SELECT v.version, v.definition FROM app_versions v JOIN apps a ON a.id = v.app_id
        WHERE a.id = $1 AND a.user_id = $2 AND v.version = ANY ($3)";
    db.read(|mut conn| async move {
        Ok(statement(SQL)
            .bind::<SqlUuid, _>(app.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Array<Integer>, _>(numbers)
            .load(&mut conn)
            .await?)
    })
    .await
}
