//! Current app versions in memory. An entry may be stale: the accepting statement is guarded by the version being
//! current, and a refusal there makes the gateway load it anew. So a cached version saves a round trip and never
//! decides anything.

use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Integer, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use shared::apps::AppDefinition;
use shared::db::{Connection, DbError, statement};
use shared::ids::{AppId, AppVersionId, UserId};

/// Apps that the cache is laid out for, and bytes of definitions that it keeps. An app file has at most 256 KiB, a
/// usual one 2; the cache is split into up to 128 parts, each of which must hold the largest.
const EXPECTED_APPS: usize = 4096;
const MAX_BYTES: u64 = 64 * 1024 * 1024;

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
    /// Of the definition as JSON.
    bytes: u64,
}

/// Apps by owner and id.
pub struct AppCache(Cache<(UserId, AppId), Arc<CurrentApp>, Bytes>);

#[derive(Clone)]
struct Bytes;

impl Weighter<(UserId, AppId), Arc<CurrentApp>> for Bytes {
    fn weight(&self, _: &(UserId, AppId), app: &Arc<CurrentApp>) -> u64 {
        app.bytes
    }
}

impl Default for AppCache {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED_APPS, MAX_BYTES, Bytes))
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
        let bytes = u64::try_from(row.definition.to_string().len()).unwrap_or(u64::MAX);
        let definition = serde_json::from_value(row.definition)
            .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
        let current = Arc::new(CurrentApp {
            id: app,
            version_id: row.version_id,
            version: row.version,
            archived: row.archived,
            definition,
            bytes,
        });
        self.0.insert((user, app), Arc::clone(&current));
        Ok(Some(current))
    }
}
