//! A migrated database for one test.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use super::{block_on_elsewhere, eventually, required, template};
use crate::config::DatabaseConfig;
use crate::db::{Connection, Db, statement};

/// On a busy machine a new connection may take longer than a service waits.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// A line of what EXPLAIN returns.
#[derive(QueryableByName)]
pub struct PlanLine {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// The lines as one text.
#[must_use]
pub fn plan_of(lines: &[PlanLine]) -> String {
    lines.iter().map(|line| line.line.as_str()).collect::<Vec<_>>().join("\n")
}

/// Dropping it drops the database.
pub struct TestDatabase {
    /// postgres://…
    pub url: String,
    /// A pool on it.
    pub db: Db,
    admin: String,
    name: String,
}

impl TestDatabase {
    /// Creates a database with the current schema.
    pub async fn create() -> Self {
        Self::create_at(required("CAPI_TEST_DATABASE_URL")).await
    }

    /// Creates one on the server of this URL.
    pub async fn create_at(admin: String) -> Self {
        Self::make(admin, true).await
    }

    /// Creates a database without a schema.
    pub async fn create_empty() -> Self {
        Self::make(required("CAPI_TEST_DATABASE_URL"), false).await
    }

    async fn make(admin: String, with_schema: bool) -> Self {
        let name = format!("capi_test_{}", Uuid::now_v7().simple());
        let mut url = Url::parse(&admin).expect("CAPI_TEST_DATABASE_URL is a URL");
        let mut conn = template::connect(&admin).await;
        // Another test process may drop an old template in between.
        eventually("the test's database is created", async || {
            let template = if with_schema { template::ensure(&mut conn, &url).await } else { "template1" };
            // A copy of the files would cost two checkpoints; through the log it takes a tenth of that.
            let create = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log");
            conn.batch_execute(&create).await.ok()
        })
        .await;
        url.set_path(&name);
        let config = DatabaseConfig { url: SecretString::from(url.to_string()), pool_size: 10 };
        let db = Db::with_wait(&config, "capi-test", CONNECTION_WAIT).expect("a pool can be made").patient();
        Self { url: url.to_string(), db, admin, name }
    }

    /// A connection to it.
    pub async fn conn(&self) -> Connection {
        eventually("the test's database answers", async || self.db.get().await.ok()).await
    }

    /// Runs a statement without values; the number of rows.
    pub async fn run_sql(&self, sql: impl Into<std::borrow::Cow<'static, str>>) -> usize {
        statement(sql).execute(&mut self.conn().await).await.expect("the statement runs")
    }

    /// Keeps autovacuum away from the tables: it would change plans, and the pages that statements read.
    pub async fn disable_autovacuum(&self) {
        const OFF: &str = "DO $$ DECLARE t record; BEGIN
            FOR t IN SELECT c.oid::regclass AS name FROM pg_class c
                WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
            LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t.name); END LOOP; END $$";
        self.run_sql(OFF).await;
    }

    /// Sets the clock that leases, windows and expiries are compared with this far ahead of the server's
    /// clock. The timers of processes do not follow it.
    pub async fn set_clock_ahead(&self, by: Duration) {
        let sql = format!(
            "CREATE OR REPLACE FUNCTION capi_now() RETURNS timestamptz LANGUAGE sql VOLATILE
             AS 'SELECT clock_timestamp() + interval ''{} ms'''",
            by.as_millis()
        );
        self.run_sql(sql).await;
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        block_on_elsewhere(async move {
            let mut conn = template::connect(&admin).await;
            let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        });
    }
}
