//! The errors of a database call. Methods tell the caller whether to repeat the call.

use std::sync::Arc;

use deadpool::managed::TimeoutType;
use diesel::result::{DatabaseErrorKind, Error as QueryError};
use diesel_async::pooled_connection::deadpool::PoolError;

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database is down, or all connections are busy.
    #[error("no database connection: {0}")]
    Pool(#[from] PoolError),
    /// The statement may still be executed.
    #[error("no answer from the database in time")]
    Timeout,
    /// Earlier writes are not answered, so this call was not sent.
    #[error("the database does not answer earlier writes")]
    NotAnswering,
    #[error("the database takes no writes: it is a standby")]
    ReadOnly,
    #[error("statement failed: {0}")]
    Query(#[from] QueryError),
    /// Too many calls wait for their set (see [`crate::batch`]).
    #[error("too many calls wait for the database")]
    QueueFull,
    /// The error of a whole set.
    #[error(transparent)]
    Shared(Arc<DbError>),
}

/// 40P01.
const DEADLOCK: &str = "deadlock detected";

/// The server starts or stops (57P01 to 57P03), or it ended an idle transaction (25P03).
const AWAY: [&str; 2] = ["terminating connection", "the database system is"];

/// Raised by `account_append_v1`.
const OVER_QUOTA: &str = "capi: the stored bytes of the account would exceed its quota";

const LOCK_TIMEOUT: &str = "canceling statement due to lock timeout";

/// Other states that pass: lock and statement timeouts (55P03, 57014), no memory or disk space (53xxx).
const PASSING: [&str; 6] = [
    DEADLOCK,
    "canceling statement due to",
    "out of memory",
    "out of shared memory",
    "No space left on device",
    "could not extend file",
];

impl DbError {
    /// Whether all connections of the pool, or all places of a set's queue, were in use. This says nothing
    /// about the database.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.inner(), Self::Pool(PoolError::Timeout(TimeoutType::Wait)) | Self::QueueFull)
    }

    /// Whether the statement was certainly not sent.
    #[must_use]
    pub fn was_not_sent(&self) -> bool {
        matches!(self.inner(), Self::Pool(_) | Self::QueueFull | Self::NotAnswering)
    }

    fn inner(&self) -> &Self {
        if let Self::Shared(error) = self { error.inner() } else { self }
    }

    /// Whether PostgreSQL rolled the transaction back in favour of another one. Repeat it at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self.inner() {
            Self::Query(QueryError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => true,
            Self::Query(QueryError::DatabaseError(_, info)) => info.message().contains(DEADLOCK),
            _ => false,
        }
    }

    /// Whether another transaction held a lock for too long.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        let Self::Query(QueryError::DatabaseError(_, info)) = self.inner() else { return false };
        info.message().contains(LOCK_TIMEOUT)
    }

    /// Whether the statement would have exceeded the quota of stored bytes, and so wrote nothing.
    #[must_use]
    pub fn is_over_quota(&self) -> bool {
        let Self::Query(QueryError::DatabaseError(_, info)) = self.inner() else { return false };
        info.message() == OVER_QUOTA
    }

    /// Whether the database is unreachable or not writable, so that every statement would fail now.
    ///
    /// Diesel does not expose the SQLSTATE. Where its error kinds are too coarse, the message decides. It is
    /// English if the server's `lc_messages` is `C`, as the runbook requires.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self.inner() {
            Self::Pool(_)
            | Self::Timeout
            | Self::NotAnswering
            | Self::ReadOnly
            | Self::QueueFull
            | Self::Query(QueryError::BrokenTransactionManager) => true,
            Self::Query(QueryError::DatabaseError(kind, info)) => match kind {
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::ReadOnlyTransaction => true,
                _ => AWAY.iter().any(|words| info.message().contains(words)),
            },
            Self::Query(_) | Self::Shared(_) => false,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        let passes = match self.inner() {
            Self::Query(QueryError::DatabaseError(_, info)) => {
                PASSING.iter().any(|words| info.message().contains(words))
            }
            _ => false,
        };
        passes || self.is_away() || self.is_conflict()
    }
}
