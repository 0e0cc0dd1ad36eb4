//! A migrated database of a test's own.

use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use super::{block_on_elsewhere, eventually, required};
use crate::config::DatabaseConfig;
use crate::db::{Connection, Db, connect_once, migrate_up, statement};

/// Dropped with its database.
pub struct TestDatabase {
    /// postgres://…
    pub url: String,
    /// A pool on it.
    pub db: Db,
    admin: String,
    name: String,
}

impl TestDatabase {
    /// Creates and migrates it.
    pub async fn create() -> Self {
        Self::create_at(required("CAPI_TEST_DATABASE_URL")).await
    }

    /// Creates and migrates it on the server of this URL.
    pub async fn create_at(admin: String) -> Self {
        let made = Self::create_empty_at(admin).await;
        migrate_up(&made.url).await.expect("the migrations run");
        made
    }

    /// Creates it without a schema.
    pub async fn create_empty() -> Self {
        Self::create_empty_at(required("CAPI_TEST_DATABASE_URL")).await
    }

    async fn create_empty_at(admin: String) -> Self {
        let name = format!("capi_test_{}", Uuid::now_v7().simple());
        let mut conn = connect_once(&admin, "capi-test").await.expect("PostgreSQL answers");
        conn.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database can be created");
        let mut url = Url::parse(&admin).expect("CAPI_TEST_DATABASE_URL is a URL");
        url.set_path(&name);
        let config = DatabaseConfig { url: SecretString::from(url.to_string()), pool_size: 10 };
        let db = Db::new(&config, "capi-test").expect("a pool can be made");
        Self { url: url.to_string(), db, admin, name }
    }

    /// A connection to it.
    pub async fn conn(&self) -> Connection {
        eventually("the test's database answers", async || self.db.get().await.ok()).await
    }

    /// Runs a statement without values.
    pub async fn run_sql(&self, sql: impl Into<std::borrow::Cow<'static, str>>) -> usize {
        statement(sql).execute(&mut self.conn().await).await.expect("the statement runs")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        block_on_elsewhere(async move {
            if let Ok(mut conn) = connect_once(&admin, "capi-test").await {
                let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            }
        });
    }
}
