//! The versions of an app, as they are looked at.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Connection, DbError, statement};
use shared::ids::{AppId, UserId};

/// Versions that are listed: the newest.
const MAX_LISTED: i64 = 100;

/// Numbers and times of the newest versions of the user's app, newest first.
pub async fn list(
    conn: &mut Connection,
    user: UserId,
    app: AppId,
) -> Result<Vec<(i32, DateTime<Utc>)>, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        version: i32,
        #[diesel(sql_type = Timestamptz)]
        created_at: DateTime<Utc>,
    }
    let sql = "SELECT v.version, v.created_at FROM app_versions v JOIN apps a ON a.id = v.app_id
               WHERE a.id = $1 AND a.user_id = $2 ORDER BY v.version DESC LIMIT $3";
    let rows: Vec<Row> = statement(sql)
        .bind::<SqlUuid, _>(app.uuid())
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<BigInt, _>(MAX_LISTED)
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.version, row.created_at)).collect())
}

/// A version of an app.
#[derive(Debug, Clone, QueryableByName)]
pub struct Version {
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Jsonb)]
    pub definition: Value,
}

/// These versions of the user's app, as far as there are such.
pub async fn load(
    conn: &mut Connection,
    user: UserId,
    app: AppId,
    wanted: &[i32],
) -> Result<Vec<Version>, DbError> {
    let sql = "SELECT v.version, v.definition FROM app_versions v JOIN apps a ON a.id = v.app_id
               WHERE a.id = $1 AND a.user_id = $2 AND v.version = ANY ($3)";
    let rows = statement(sql)
        .bind::<SqlUuid, _>(app.uuid())
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Array<Integer>, _>(wanted)
        .load(conn)
        .await?;
    Ok(rows)
}
