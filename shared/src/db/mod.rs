//! PostgreSQL: connections, the pool and prepared statements. Queries are where their subject is.

mod connect;
mod connection;
mod connector;
mod error;
mod in_doubt;
mod json;
mod migrate;
mod oldest_transaction;
mod statement;

pub use connect::{ConnectError, connect_once};
pub use connection::Connection;
pub use error::DbError;
pub use json::Json;
pub use migrate::{MigrateError, SchemaState, check_schema, migrate_down, migrate_up, require_schema};
pub use oldest_transaction::watch_oldest_transaction;
pub use statement::{Prepared, PushBinds, interval, lock_user, statement};

use std::sync::Arc;
use std::time::Duration;

use diesel_async::pooled_connection::deadpool::{Pool, PoolError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::FutureExt;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::config::DatabaseConfig;
use connector::Connector;
use in_doubt::{InDoubt, Probe, Sent};

/// How long a caller of a service waits for a connection. A request must be answered 503 within a second if
/// the database is down.
const POOL_WAIT: Duration = Duration::from_millis(800);

/// How long a caller waits for the answer to a call. Longer than PostgreSQL's `lock_timeout`.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// For work that no client waits for. Longer than PostgreSQL's `statement_timeout`.
const PATIENT: Duration = Duration::from_secs(15);

/// A commit that must reach the disk, and the synchronous standby if there is one. It changes no row. A
/// standby, and a session that is read-only, writes nothing and returns no row.
const PING: &str = "SELECT pg_logical_emit_message(true, 'capi', ''::text)
                    WHERE current_setting('transaction_read_only') = 'off'";

/// How often a call is repeated that PostgreSQL rolled back in favour of another one.
const CONFLICT_RETRIES: usize = 3;

/// The connection pool of a process.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    /// How long a caller waits for a connection.
    wait: Duration,
    /// How long a caller waits for an answer.
    patience: Duration,
    in_doubt: Arc<InDoubt>,
}

impl Db {
    /// Makes an empty pool. Connections are opened on demand, on the runtime that calls this. The gateway
    /// must not call it on its HTTP threads: their runtimes also serve requests, which would delay the
    /// drivers of the connections.
    pub fn new(config: &DatabaseConfig, application_name: &'static str) -> anyhow::Result<Self> {
        Self::with_wait(config, application_name, POOL_WAIT)
    }

    /// The same with another time to wait for a connection.
    pub(crate) fn with_wait(
        config: &DatabaseConfig,
        application_name: &'static str,
        wait: Duration,
    ) -> anyhow::Result<Self> {
        let connector = Connector::new(config.url.expose_secret(), application_name);
        let mut manager_config = ManagerConfig::default();
        manager_config.recycling_method = RecyclingMethod::Fast;
        manager_config.custom_setup = Box::new(move |_| connector.clone().open().boxed());
        let manager =
            AsyncDieselConnectionManager::new_with_config(config.url.expose_secret(), manager_config);
        let pool = Pool::builder(manager)
            .max_size(config.pool_size)
            .runtime(deadpool::Runtime::Tokio1)
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .recycle_timeout(Some(wait))
            .build()?;
        Ok(Self { pool, wait, patience: ANSWER_TIMEOUT, in_doubt: InDoubt::new(application_name) })
    }

    /// The same pool for work that no client waits for: its statements may take as long as PostgreSQL lets
    /// them, and it is not given up while it may succeed.
    #[must_use]
    pub fn patient(&self) -> Self {
        self.with_patience(PATIENT)
    }

    /// The same pool for calls that wait this long for an answer.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Takes a connection from the pool. For commands and tests, which finish their calls. Services use
    /// [`Self::read`] and [`Self::write`].
    pub async fn get(&self) -> Result<Connection, DbError> {
        let wanted = tokio::time::timeout(self.wait, self.pool.get()).await;
        let object = wanted.unwrap_or(Err(PoolError::Timeout(deadpool::managed::TimeoutType::Wait)));
        if object.is_err() {
            metrics::counter!("capi_database_connection_failures_total").increment(1);
        }
        match object.map_err(DbError::Pool) {
            // Not other callers, but writes in doubt have the connections.
            Err(error) if error.is_busy() && self.in_doubt.is_any() => Err(DbError::NotAnswering),
            object => Ok(Connection::new(object?)),
        }
    }

    /// Calls `work`, which only reads, with a pooled connection. The future may be dropped at any time.
    pub async fn read<T, Work: Future<Output = Result<T, DbError>>>(
        &self,
        work: impl FnOnce(Connection) -> Work,
    ) -> Result<T, DbError> {
        let connection = self.get().await?;
        self.call(connection, None, work).await
    }

    /// Calls `work`, which must be one statement or one transaction, with a pooled connection. Repeats it if
    /// PostgreSQL rolled it back in favour of another one (40P01, 40001). All writes of the services use
    /// this. If the future is dropped, or fails with [`DbError::Timeout`], the work may still be committed.
    pub async fn write<T, Work: Future<Output = Result<T, DbError>>>(
        &self,
        work: impl Fn(Connection) -> Work,
    ) -> Result<T, DbError> {
        for _ in 0..CONFLICT_RETRIES {
            match self.write_once(&work).await {
                Err(error) if error.is_conflict() => {
                    metrics::counter!("capi_database_conflicts_total").increment(1);
                }
                answered => return answered,
            }
        }
        self.write_once(&work).await
    }

    async fn write_once<T, Work: Future<Output = Result<T, DbError>>>(
        &self,
        work: impl FnOnce(Connection) -> Work,
    ) -> Result<T, DbError> {
        if self.in_doubt.is_refusing() {
            if let Some(probe) = self.in_doubt.probe() {
                let db = self.clone();
                self.in_doubt.runtime().spawn(async move { db.commit(Some(probe)).await });
            }
            return Err(self.in_doubt.refuse());
        }
        let connection = self.get().await?;
        self.call(connection, Some(self.sent(None)), work).await
    }

    /// A write of a caller with little patience is not overdue yet when the caller gives up.
    fn sent(&self, probe: Option<Probe>) -> Sent {
        self.in_doubt.sent(self.patience.max(ANSWER_TIMEOUT), probe)
    }

    async fn call<T, Work: Future<Output = Result<T, DbError>>>(
        &self,
        connection: Connection,
        write: Option<Sent>,
        work: impl FnOnce(Connection) -> Work,
    ) -> Result<T, DbError> {
        metrics::counter!("capi_database_calls_total").increment(1);
        let (call, connection) = connection.for_call(write);
        // A suspended server does not enforce its own limits, and none of them covers a commit.
        let answered = tokio::time::timeout(self.patience, work(connection)).await;
        let answered = answered.map_err(|_| DbError::Timeout)?;
        call.answered(!answered.as_ref().is_err_and(DbError::is_away));
        answered
    }

    /// Tries to open all connections before the first requests. A burst at an empty pool would wait for each
    /// of them.
    pub async fn warm(&self) {
        futures_util::future::join_all((0..self.pool.status().max_size).map(|_| self.get())).await;
    }

    /// Whether the database commits writes.
    pub async fn is_up(&self) -> bool {
        self.ping().await.is_ok()
    }

    /// Commits. Fails if the database does not answer, does not commit, or is a standby, which takes no
    /// writes.
    pub async fn ping(&self) -> Result<(), DbError> {
        if !self.in_doubt.is_refusing() {
            return self.commit(None).await;
        }
        // Others are refused. If one probe is not answered, a second one would not be either.
        let probe = self.in_doubt.probe().ok_or_else(|| self.in_doubt.refuse())?;
        self.commit(Some(probe)).await
    }

    /// A probe takes a new connection: unused ones of a server that is gone are dead too.
    async fn commit(&self, probe: Option<Probe>) -> Result<(), DbError> {
        let sent = Instant::now();
        if probe.is_some() {
            drop(self.pool.retain(|_, _| false));
        }
        let patient = self.with_patience(ANSWER_TIMEOUT);
        let asking = async {
            let connection = patient.get().await?;
            let write = patient.sent(probe);
            let asked = patient.call(connection, Some(write), |mut conn| async move {
                let writable = statement(PING).execute(&mut conn).await?;
                if writable == 1 { Ok(()) } else { Err(DbError::ReadOnly) }
            });
            asked.await
        };
        let answered = tokio::time::timeout(POOL_WAIT * 2, asking).await.unwrap_or(Err(DbError::Timeout));
        if answered.is_ok() {
            self.in_doubt.committed(sent);
        }
        answered
    }
}
