//! The turn of a task that one worker of all does at a time: a row of `turns` that works as a lease. An
//! advisory lock of the session would keep a connection while the store is asked, and a lock of the
//! transaction would end with each statement.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Double, Interval, Nullable, Text};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, interval, statement};

/// A worker that does not renew its turn for so long has died.
const HELD: Duration = Duration::from_mins(1);
/// Loops renew the turn after this time, in time even if a statement then takes its longest.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(15);

/// A task of one worker at a time.
#[derive(Clone)]
pub(crate) struct Turn<'a> {
    pub(crate) db: &'a Db,
    /// In `turns`.
    pub(crate) task: &'static str,
    /// The worker's name.
    pub(crate) worker: &'a str,
}

/// Whether this worker has the turn.
#[derive(QueryableByName)]
pub(crate) struct Taken {
    #[diesel(sql_type = Bool)]
    pub(crate) taken: bool,
    /// The end of the last complete pass, in seconds since 1970. `None` before the first one.
    #[diesel(sql_type = Nullable<Double>)]
    pub(crate) passed_at: Option<f64>,
}

const TAKE: &str = "
WITH taken AS (
    UPDATE turns SET holder = $2, held_until = capi_now() + $3
    WHERE task = $1 AND (holder = $2 OR held_until <= capi_now()) AND passed_at <= capi_now() - $4
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM taken) AS taken,
       CASE WHEN t.passed_at > 'epoch' THEN extract(epoch FROM t.passed_at)::double precision END AS passed_at
FROM turns t WHERE t.task = $1";

impl Turn<'_> {
    /// Takes the turn if no other worker has it and the last complete pass is older than `every`.
    pub(crate) async fn take(&self, every: Duration) -> Result<Taken, DbError> {
        self.db
            .write(|mut conn| async move {
                Ok(statement(TAKE)
                    .bind::<Text, _>(self.task)
                    .bind::<Text, _>(self.worker)
                    .bind::<Interval, _>(interval(HELD))
                    .bind::<Interval, _>(interval(every))
                    .get_result(&mut conn)
                    .await?)
            })
            .await
    }

    /// Renews the turn. Returns false if another worker has taken it.
    pub(crate) async fn keep(&self) -> Result<bool, DbError> {
        self.set("held_until = capi_now() + $3", HELD).await
    }

    /// Ends the turn after a complete pass.
    pub(crate) async fn end(&self) -> Result<bool, DbError> {
        self.set("passed_at = capi_now(), held_until = capi_now() + $3", Duration::ZERO).await
    }

    /// Gives the turn to the next worker, although no pass was complete.
    pub(crate) async fn release(&self) -> Result<bool, DbError> {
        self.set("held_until = capi_now() + $3", Duration::ZERO).await
    }

    async fn set(&self, columns: &str, held: Duration) -> Result<bool, DbError> {
        let sql = format!("UPDATE turns SET {columns} WHERE task = $1 AND holder = $2");
        let sql = &sql;
        let set = self.db.write(|mut conn| async move {
            let setting = statement(sql.clone())
                .bind::<Text, _>(self.task)
                .bind::<Text, _>(self.worker)
                .bind::<Interval, _>(interval(held));
            Ok(setting.execute(&mut conn).await?)
        });
        Ok(set.await? == 1)
    }
}
