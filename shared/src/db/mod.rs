//! PostgreSQL: how connections are made, pooled, and spoken over. No query lives here.

mod connect;
mod connection;
mod connector;
mod error;
mod json;
mod migrate;
mod statement;

pub use connect::{ConnectError, connect_once};
pub use connection::Connection;
pub use error::DbError;
pub use json::Json;
pub use migrate::{MigrateError, SchemaState, check_schema, migrate_down, migrate_up, require_schema};
pub use statement::{Prepared, PushBinds, interval, lock_user, statement};

use std::time::Duration;

use diesel_async::pooled_connection::deadpool::{Pool, PoolError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::FutureExt;
use secrecy::ExposeSecret;

use crate::config::DatabaseConfig;
use connector::Connector;

/// How long a caller waits for a free connection before it gets an error: less than the second within which a
/// request must be answered 503 when the database is away.
const POOL_WAIT: Duration = Duration::from_millis(800);

/// Longer than PostgreSQL's own limit for a statement.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Times that a call is done again which PostgreSQL rolled back in favour of another one.
const CONFLICT_RETRIES: usize = 3;

/// The pool of one process.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
}

impl Db {
    /// Prepares a pool; connections are opened when they are needed, on the runtime this is called on. (The gateway's
    /// HTTP threads are current-thread runtimes that also serve requests: no place for a connection's driver.)
    pub fn new(config: &DatabaseConfig, application_name: &'static str) -> anyhow::Result<Self> {
        let connector = Connector::new(config.url.expose_secret(), application_name);
        let mut manager_config = ManagerConfig::default();
        manager_config.recycling_method = RecyclingMethod::Fast;
        manager_config.custom_setup = Box::new(move |_| connector.clone().open().boxed());
        let manager =
            AsyncDieselConnectionManager::new_with_config(config.url.expose_secret(), manager_config);
        let pool = Pool::builder(manager)
            .max_size(config.pool_size)
            .runtime(deadpool::Runtime::Tokio1)
            .wait_timeout(Some(POOL_WAIT))
            .create_timeout(Some(POOL_WAIT))
            .recycle_timeout(Some(POOL_WAIT))
            .build()?;
        Ok(Self { pool })
    }

    /// A connection from the pool, or an error after at most [`POOL_WAIT`]. For whoever uses it to the end (commands,
    /// tests); services go through [`Self::read`] and [`Self::write`].
    pub async fn get(&self) -> Result<Connection, DbError> {
        let wanted = tokio::time::timeout(POOL_WAIT, self.pool.get()).await;
        let object = wanted.unwrap_or(Err(PoolError::Timeout(deadpool::managed::TimeoutType::Wait)));
        if object.is_err() {
            metrics::counter!("capi_database_connection_failures_total").increment(1);
        }
        Ok(Connection::new(object?))
    }

    /// Does `work` on a pooled connection. It may be dropped half way.
    pub async fn read<T, Work: Future<Output = Result<T, DbError>>>(
        &self,
        work: impl FnOnce(Connection) -> Work,
    ) -> Result<T, DbError> {
        let (call, connection) = self.get().await?.for_call();
        metrics::counter!("capi_database_calls_total").increment(1);
        // A deadline of our own: PostgreSQL's limits do not help against one that is stopped.
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, work(connection)).await;
        let answered = answered.unwrap_or(Err(DbError::Timeout));
        if !answered.as_ref().is_err_and(DbError::is_away) {
            call.ended_well();
        }
        answered
    }

    /// Does `work`, one statement or one transaction, on a pooled connection; does it again where PostgreSQL rolled it
    /// back in favour of another one (40P01, 40001). Every write of a service goes through here.
    pub async fn write<T, Work: Future<Output = Result<T, DbError>>>(
        &self,
        work: impl Fn(Connection) -> Work,
    ) -> Result<T, DbError> {
        for _ in 0..CONFLICT_RETRIES {
            match self.read(&work).await {
                Err(error) if error.is_conflict() => {
                    metrics::counter!("capi_database_conflicts_total").increment(1);
                }
                answered => return answered,
            }
        }
        self.read(&work).await
    }

    /// Opens the pool's connections ahead of the first requests, as far as that works: a burst at a cold pool would
    /// wait for all of them to be opened.
    pub async fn warm(&self) {
        futures_util::future::join_all((0..self.pool.status().max_size).map(|_| self.get())).await;
    }

    /// Whether the database answers now.
    pub async fn is_up(&self) -> bool {
        self.ping().await.is_ok()
    }

    /// Asks the database for a sign of life. A server that only follows another one is none: it takes no writes.
    pub async fn ping(&self) -> Result<(), DbError> {
        let asking = self.read(|mut conn| async move {
            let writable = statement("SELECT 1 WHERE NOT pg_is_in_recovery()").execute(&mut conn).await?;
            if writable == 1 { Ok(()) } else { Err(DbError::ReadOnly) }
        });
        tokio::time::timeout(POOL_WAIT * 2, asking).await.unwrap_or(Err(DbError::Timeout))
    }
}
