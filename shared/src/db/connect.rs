//! Opens one connection with TLS and session limits. A suspended or disconnected process must not keep rows
//! locked, so PostgreSQL itself ends its statement, its lock wait or its transaction.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A wait for a lock ends before its caller gives up ([`super::Db::write`]), and two waits outlast the
/// transaction of a suspended process. With the last limit PostgreSQL also cancels the statement of a client
/// that has gone. PgBouncer refuses limits in the startup parameter `options`.
const SESSION_LIMITS: &str = "SET statement_timeout = '10s'; SET lock_timeout = '2500ms'; \
                              SET idle_in_transaction_session_timeout = '4s'; \
                              SET client_connection_check_interval = '1s'";

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("CAPI_DATABASE_URL must be postgres://USER:PASSWORD@HOST:PORT/DATABASE: {0}")]
    Url(tokio_postgres::Error),
    #[error("{0}")]
    Server(#[from] tokio_postgres::Error),
    #[error("the database did not answer within {CONNECT_TIMEOUT:?}")]
    Timeout,
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The server rejected the time zone or the encoding.
    #[error("{0}")]
    Setup(#[from] diesel::ConnectionError),
    #[error("cannot set the limits of the session: {0}")]
    Limits(#[from] diesel::result::Error),
}

/// Opens one connection without a pool. The URL's `sslmode` (`disable`, `prefer`, `require`) decides about
/// TLS, which uses the root certificates of the system.
pub async fn connect_once(url: &str, application_name: &str) -> Result<AsyncPgConnection, ConnectError> {
    let mut config: tokio_postgres::Config = url.parse().map_err(ConnectError::Url)?;
    config
        .application_name(application_name)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(15));
    let opening = async {
        let mut connection = if config.get_ssl_mode() == SslMode::Disable {
            let (client, driver) = config.connect(tokio_postgres::NoTls).await?;
            AsyncPgConnection::try_from_client_and_connection(client, driver).await?
        } else {
            let (client, driver) =
                config.connect(MakeRustlsConnect::new(crate::tls::client_config()?)).await?;
            AsyncPgConnection::try_from_client_and_connection(client, driver).await?
        };
        connection.batch_execute(SESSION_LIMITS).await?;
        Ok(connection)
    };
    tokio::time::timeout(CONNECT_TIMEOUT, opening).await.unwrap_or(Err(ConnectError::Timeout))
}
