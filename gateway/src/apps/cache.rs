//! Current app versions in memory. An entry may be stale: the accepting statement is guarded by the version being
//! current, and a refusal there drops the entry. So a cached version saves a round trip and never decides anything.

use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Integer, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use quick_cache::sync::Cache;
use shared::apps::AppDefinition;
use shared::db::{Connection, DbError, statement};
use shared::ids::{AppId, AppVersionId, UserId};

/// Apps that are kept.
const CAPACITY: usize = 10_000;

/// The current version of an app.
#[derive(Debug)]
pub struct CurrentApp {
    /// The app.
    pub id: AppId,
    /// The version that a run pins.
    pub version_id: AppVersionId,
    /// Its number.
    pub version: i32,
    /// Whether the app takes no more runs.
    pub archived: bool,
    /// What it says.
    pub definition: AppDefinition,
}

/// Apps by owner and id.
pub struct AppCache(Cache<(UserId, AppId), Arc<CurrentApp>>);

impl Default for AppCache {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    version_id: AppVersionId,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Bool)]
    archived: bool,
    #[diesel(sql_type = Jsonb)]
    definition: serde_json::Value,
}

impl AppCache {
    /// What is kept of the user's app, possibly stale.
    #[must_use]
    pub fn get(&self, user: UserId, app: AppId) -> Option<Arc<CurrentApp>> {
        self.0.get(&(user, app))
    }

    /// Reads the user's app from the database and keeps it.
    pub async fn load(
        &self,
        conn: &mut Connection,
        user: UserId,
        app: AppId,
    ) -> Result<Option<Arc<CurrentApp>>, DbError> {
        let sql = "SELECT v.id AS version_id, v.version, a.archived_at IS NOT NULL AS archived, v.definition
                   FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
                   WHERE a.id = $1 AND a.user_id = $2";
        let found: Option<Row> = statement(sql)
            .bind::<SqlUuid, _>(app.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .load(conn)
            .await?
            .pop();
        let Some(row) = found else {
            self.0.remove(&(user, app));
            return Ok(None);
        };
        let definition = serde_json::from_value(row.definition)
            .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
        let current = Arc::new(CurrentApp {
            id: app,
            version_id: row.version_id,
            version: row.version,
            archived: row.archived,
            definition,
        });
        self.0.insert((user, app), Arc::clone(&current));
        Ok(Some(current))
    }
}
