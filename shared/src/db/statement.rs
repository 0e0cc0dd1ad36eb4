//! SQL statements with typed binds. Each connection prepares a statement once and caches it by its text.
//! Diesel's `sql_query` prepares on every call, which costs a round trip.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::pg::data_types::PgInterval;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::UserId;

/// A statement with the binds so far.
#[derive(Debug, Clone)]
pub struct Prepared<Binds> {
    sql: Cow<'static, str>,
    binds: Binds,
}

/// Starts a statement. Add the values with [`Prepared::bind`], in the order of `$1`, `$2`, ….
#[must_use]
pub fn statement(sql: impl Into<Cow<'static, str>>) -> Prepared<()> {
    Prepared { sql: sql.into(), binds: () }
}

/// One more value after those before it.
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

pub trait PushBinds {
    /// Pushes each value as a bind parameter without SQL text.
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
        out.push_sql(&self.sql);
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

/// Locks the user's row in `user_slots` until the transaction ends. Take this lock before all others.
pub async fn lock_user(conn: &mut AsyncPgConnection, user: UserId) -> QueryResult<()> {
    statement("SELECT 1 FROM user_slots WHERE user_id = $1 FOR NO KEY UPDATE")
        .bind::<diesel::sql_types::Uuid, _>(user.uuid())
        .execute(conn)
        .await?;
    Ok(())
}

#[must_use]
pub fn interval(duration: Duration) -> PgInterval {
    PgInterval::from_microseconds(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}
