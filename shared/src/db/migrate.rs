//! Migrations are a separate, reversible step, and every service checks the schema when it starts. They run
//! under a session lock that is polled, because a waiting `pg_advisory_lock` deadlocks with CREATE INDEX
//! CONCURRENTLY.

use std::time::Duration;

use diesel::QueryableByName;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connect::{ConnectError, connect_once};
use super::{Db, DbError, statement};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
/// The version of the last migration. This build needs at least this schema.
const NEEDED_VERSION: &str = "00000000000027";
/// The number is arbitrary. Locks of different databases are independent.
const LOCK: &str = "SELECT pg_try_advisory_lock(4706041) AS held";
const UNLOCK: &str = "SELECT pg_advisory_unlock(4706041)";
const LOCK_POLL: Duration = Duration::from_millis(200);
const LOCK_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("failed to connect: {0}")]
    Connect(#[from] ConnectError),
    /// Of a statement outside the migrations.
    #[error("statement failed: {0}")]
    Query(#[from] diesel::result::Error),
    #[error("migration failed and was rolled back: {0}")]
    Migration(Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "another migration has held the lock for more than {LOCK_TIMEOUT:?}; see pg_locks, then run again"
    )]
    Locked,
}

/// Whether this build can work with the schema.
#[derive(Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// As new as this build or newer.
    Usable,
    /// Older than this build needs, or empty. Run `gateway migrate` first.
    TooOld,
}

/// Applies all pending migrations and returns their names.
pub async fn migrate_up(url: &str) -> Result<Vec<String>, MigrateError> {
    let mut harness = AsyncMigrationHarness::new(locked(url).await?);
    let ran = harness.run_pending_migrations(MIGRATIONS).map_err(MigrateError::Migration)?;
    let ran = ran.iter().map(ToString::to_string).collect();
    unlock(harness.into_inner()).await?;
    Ok(ran)
}

/// Reverts all migrations, newest first. This deletes all data.
pub async fn migrate_down(url: &str) -> Result<(), MigrateError> {
    let mut harness = AsyncMigrationHarness::new(locked(url).await?);
    harness.revert_all_migrations(MIGRATIONS).map_err(MigrateError::Migration)?;
    unlock(harness.into_inner()).await
}

pub async fn check_schema(db: &Db) -> Result<SchemaState, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        usable: bool,
    }
    let mut conn = db.get().await?;
    let table: Row = statement("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS usable")
        .get_result(&mut conn)
        .await?;
    if !table.usable {
        return Ok(SchemaState::TooOld);
    }
    let version: Row =
        statement("SELECT coalesce(max(version) >= $1, false) AS usable FROM __diesel_schema_migrations")
            .bind::<diesel::sql_types::Text, _>(NEEDED_VERSION)
            .get_result(&mut conn)
            .await?;
    Ok(if version.usable { SchemaState::Usable } else { SchemaState::TooOld })
}

/// Fails if the schema is older than this build needs.
pub async fn require_schema(db: &Db) -> anyhow::Result<()> {
    if check_schema(db).await? == SchemaState::TooOld {
        anyhow::bail!("the database's schema is older than this build; run `gateway migrate` first");
    }
    Ok(())
}

async fn locked(url: &str) -> Result<AsyncPgConnection, MigrateError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        held: bool,
    }
    let mut conn = connect_once(url, "capi-migrate").await?;
    // The short lock timeout keeps DDL that waits for a lock from blocking the running services for long.
    let limits = "SET lock_timeout = '2s'; SET statement_timeout = '10min'; \
                  SET idle_in_transaction_session_timeout = 0";
    conn.batch_execute(limits).await?;
    let polling = async {
        loop {
            let row: Row = statement(LOCK).get_result(&mut conn).await?;
            if row.held {
                return Ok::<_, MigrateError>(());
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    };
    tokio::time::timeout(LOCK_TIMEOUT, polling).await.unwrap_or(Err(MigrateError::Locked))?;
    Ok(conn)
}

/// After a failed migration the connection is dropped, which also unlocks.
async fn unlock(mut conn: AsyncPgConnection) -> Result<(), MigrateError> {
    statement(UNLOCK).execute(&mut conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::migration::{Migration, MigrationSource};
    use diesel::pg::Pg;

    #[test]
    fn needed_version_is_the_last_migration() {
        let all: Vec<Box<dyn Migration<Pg>>> =
            MigrationSource::<Pg>::migrations(&MIGRATIONS).expect("migrations");
        let newest = all.iter().map(|migration| migration.name().version().to_string()).max();
        assert_eq!(newest.as_deref(), Some(NEEDED_VERSION));
    }
}
