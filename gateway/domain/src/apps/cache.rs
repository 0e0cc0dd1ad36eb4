//! Current app versions in memory. An entry may be stale: the statement that inserts a run checks that the
//! version is still current, and otherwise the gateway reads it again. So a cached version saves a round trip
//! and decides nothing.

use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Integer, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use shared::apps::AppDefinition;
use shared::db::{Db, statement};
use shared::ids::{AppId, AppVersionId, UserId};

use crate::Refusal;

/// The expected number of apps, and the bytes of definitions that the cache keeps. An app file has at most
/// 256 KiB, usually 2 KiB. The cache is split into up to 128 shards, and each shard must hold the largest
/// app.
const EXPECTED_APPS: usize = 4096;
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The current version of an app.
#[derive(Debug)]
pub struct CurrentApp {
    pub id: AppId,
    pub version_id: AppVersionId,
    pub version: i32,
    /// An archived app takes no runs.
    pub archived: bool,
    pub definition: AppDefinition,
    /// The size of the definition as JSON.
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
    /// The cached version of the user's app, possibly stale.
    #[must_use]
    pub fn get(&self, user: UserId, app: AppId) -> Option<Arc<CurrentApp>> {
        self.0.get(&(user, app))
    }

    /// Reads the user's app from the database and caches it.
    pub async fn load(&self, db: &Db, user: UserId, app: AppId) -> Result<Arc<CurrentApp>, Refusal> {
        const SQL: &str = "
            SELECT v.id AS version_id, v.version, a.archived_at IS NOT NULL AS archived, v.definition
            FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
            WHERE a.id = $1 AND a.user_id = $2";
        let reading = db.read(|mut conn| async move {
            let mut found: Vec<Row> = statement(SQL)
                .bind::<SqlUuid, _>(app.uuid())
                .bind::<SqlUuid, _>(user.uuid())
                .load(&mut conn)
                .await?;
            Ok(found.pop())
        });
        let Some(row) = reading.await? else {
            self.0.remove(&(user, app));
            return Err(Refusal::NotFound("app"));
        };
        let bytes = u64::try_from(row.definition.to_string().len()).unwrap_or(u64::MAX);
        let definition = serde_json::from_value(row.definition).map_err(|error| Refusal::fault(&error))?;
        let current = Arc::new(CurrentApp {
            id: app,
            version_id: row.version_id,
            version: row.version,
            archived: row.archived,
            definition,
            bytes,
        });
        self.0.insert((user, app), Arc::clone(&current));
        Ok(current)
    }
}
