//! Statements in SQL with typed binds, prepared once per connection and found again by their text. Diesel's own
//! `sql_query` is prepared anew each time, which costs a round trip on every call of a hot path.

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error, QueryResult};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};

use super::DbError;

/// The text of a statement, or one with binds.
#[derive(Debug, Clone)]
pub struct Prepared<Binds> {
    sql: &'static str,
    binds: Binds,
}

/// Starts a statement; values go in through [`Prepared::bind`], in the order of `$1`, `$2`, ….
#[must_use]
pub const fn statement(sql: &'static str) -> Prepared<()> {
    Prepared { sql, binds: () }
}

/// One more value behind those before it.
#[derive(Debug, Clone)]
pub struct Bind<Before, Value, SqlType> {
    before: Before,
    value: Value,
    sql_type: PhantomData<SqlType>,
}

impl<Binds> Prepared<Binds> {
    /// Binds the next `$n` as the given SQL type.
    pub fn bind<SqlType, Value>(self, value: Value) -> Prepared<Bind<Binds, Value, SqlType>> {
        Prepared { sql: self.sql, binds: Bind { before: self.binds, value, sql_type: PhantomData } }
    }
}

/// Values that are pushed in order.
pub trait PushBinds {
    /// Pushes each value as a bind parameter without text of its own.
    fn push<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

impl PushBinds for () {
    fn push<'b>(&'b self, _out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        Ok(())
    }
}

impl<Before, Value, SqlType> PushBinds for Bind<Before, Value, SqlType>
where
    Before: PushBinds,
    Pg: HasSqlType<SqlType>,
    Value: ToSql<SqlType, Pg>,
{
    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.before.push(out.reborrow())?;
        out.push_bind_param_value_only(&self.value)
    }
}

impl<Binds: PushBinds> QueryFragment<Pg> for Prepared<Binds> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.sql);
        self.binds.push(out.reborrow())
    }
}

impl<Binds> QueryId for Prepared<Binds> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Binds> Query for Prepared<Binds> {
    type SqlType = Untyped;
}

/// Times that a transaction or statement is tried again after a deadlock or serialization failure.
const CONFLICT_RETRIES: u32 = 3;

/// Runs `attempt`, again up to [`CONFLICT_RETRIES`] times if it ends in a deadlock (40P01) or a serialization
/// failure (40001). The one place where these are retried.
pub async fn retrying<T, E, F>(mut attempt: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: AsDbError,
{
    let mut tries = 0;
    loop {
        match attempt().await {
            Err(error) if tries < CONFLICT_RETRIES && error.as_db_error().is_some_and(is_conflict) => {
                tries += 1;
                metrics::counter!("capi_database_conflict_retries_total").increment(1);
                tokio::time::sleep(Duration::from_millis(5 << tries)).await;
            }
            ended => return ended,
        }
    }
}

/// Errors that may carry a database error.
pub trait AsDbError {
    /// The database error behind this one, if there is one.
    fn as_db_error(&self) -> Option<&DbError>;
}

impl AsDbError for DbError {
    fn as_db_error(&self) -> Option<&DbError> {
        Some(self)
    }
}

fn is_conflict(error: &DbError) -> bool {
    match error {
        DbError::Query(Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => true,
        // Diesel has no kind of its own for 40P01.
        DbError::Query(Error::DatabaseError(DatabaseErrorKind::Unknown, about)) => {
            about.message().starts_with("deadlock detected")
        }
        _ => false,
    }
}
