//! What a database call can end with, and what that means for the caller: try again, or give up.

use deadpool::managed::TimeoutType;
use diesel::result::{DatabaseErrorKind, Error as QueryError};
use diesel_async::pooled_connection::deadpool::PoolError;

/// What a database call can end with.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No connection in time: the database is away, or all connections are busy.
    #[error("no database connection: {0}")]
    Pool(#[from] PoolError),
    /// Nothing came back in time, not even PostgreSQL's own timeout.
    #[error("no answer from the database in time")]
    Timeout,
    /// The server follows another one and takes no writes.
    #[error("the database takes no writes: it is a standby")]
    ReadOnly,
    /// A statement failed.
    #[error("statement failed: {0}")]
    Query(#[from] QueryError),
}

/// What PostgreSQL says when it rolled one of two transactions back so that the other can go on (40P01).
const DEADLOCK: &str = "deadlock detected";

/// What PostgreSQL says when the server goes down or comes up (57P01 to 57P03), or ended an idle transaction (25P03).
const AWAY: [&str; 2] = ["terminating connection", "the database system is"];

const LOCK_TIMEOUT: &str = "canceling statement due to lock timeout";

/// What it says of other states that pass: lock and statement timeouts (55P03, 57014), no memory or disk left (53xxx).
const PASSING: [&str; 6] = [
    DEADLOCK,
    "canceling statement due to",
    "out of memory",
    "out of shared memory",
    "No space left on device",
    "could not extend file",
];

impl DbError {
    /// Whether all of the process's own connections were in use: says nothing about the database.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Pool(PoolError::Timeout(TimeoutType::Wait)))
    }

    /// Whether the statement was rolled back in favour of another one: doing the same again at once is right.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Query(QueryError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => true,
            Self::Query(QueryError::DatabaseError(_, said)) => said.message().contains(DEADLOCK),
            _ => false,
        }
    }

    /// Whether somebody else held a lock for too long.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::Query(QueryError::DatabaseError(_, said)) if said.message().contains(LOCK_TIMEOUT))
    }

    /// Whether no statement would get through now, whatever it asks.
    ///
    /// Diesel keeps the SQLSTATE to itself, so the words decide where its own kinds do not; they are English unless
    /// the server's `lc_messages` says otherwise (the runbook asks for `C`).
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Pool(_)
            | Self::Timeout
            | Self::ReadOnly
            | Self::Query(QueryError::BrokenTransactionManager) => true,
            Self::Query(QueryError::DatabaseError(kind, said)) => match kind {
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::ReadOnlyTransaction => true,
                _ => AWAY.iter().any(|words| said.message().contains(words)),
            },
            Self::Query(_) => false,
        }
    }

    /// Whether it has nothing to do with what was asked: the same call may well succeed later.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        let passes = match self {
            Self::Query(QueryError::DatabaseError(_, said)) => {
                PASSING.iter().any(|words| said.message().contains(words))
            }
            _ => false,
        };
        passes || self.is_away() || self.is_conflict()
    }
}
