//! Reports the oldest transaction. While one stays open, PostgreSQL keeps each dead version of each row, and
//! the statements that claim and end runs read more pages with every run.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Double;
use diesel_async::RunQueryDsl;

use super::{Db, DbError, statement};
use crate::lifecycle::Lifecycle;

const EVERY: Duration = Duration::from_secs(30);

/// What keeps dead rows of this database: its sessions, those that replicate it, replication slots and
/// prepared transactions, but not vacuum. Every role sees how many transactions began since then. Only the
/// same role and members of `pg_monitor` see times; other transactions count as 0 s.
const OLDEST: &str = "
SELECT coalesce(extract(epoch FROM max(clock_timestamp() - a.xact_start)), 0)::double precision AS seconds,
       coalesce(greatest(max(greatest(age(a.backend_xid), age(a.backend_xmin))),
                         (SELECT max(age(s.xmin)) FROM pg_replication_slots s),
                         (SELECT max(age(p.transaction)) FROM pg_prepared_xacts p
                          WHERE p.database = current_database())), 0)::double precision AS transactions
FROM pg_stat_activity a
WHERE (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL) AND a.usesysid IS NOT NULL
  AND (a.datname = current_database() OR a.datname IS NULL)
  AND coalesce(a.query, '') NOT ILIKE 'VACUUM%'";

#[derive(Debug, QueryableByName)]
struct Oldest {
    #[diesel(sql_type = Double)]
    seconds: f64,
    #[diesel(sql_type = Double)]
    transactions: f64,
}

async fn oldest(db: &Db) -> Result<Oldest, DbError> {
    db.read(|mut conn| async move { Ok(statement(OLDEST).get_result(&mut conn).await?) }).await
}

/// Reports it until the process stops.
pub async fn watch_oldest_transaction(db: Db, lifecycle: Lifecycle) {
    loop {
        match oldest(&db).await {
            Ok(oldest) => {
                metrics::gauge!("capi_database_oldest_transaction_seconds").set(oldest.seconds);
                metrics::gauge!("capi_database_transactions_since_oldest").set(oldest.transactions);
            }
            Err(error) => tracing::warn!(%error, "failed to find the oldest transaction"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use diesel_async::SimpleAsyncConnection;

    use super::*;
    use crate::testing::{TestDatabase, eventually};

    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_transaction_is_seen() {
        let database = TestDatabase::create_empty().await;
        database.run_sql("CREATE TABLE t (n integer)").await;
        let mut open = database.conn().await;
        let limits = "SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ; \
                      SELECT count(*) FROM t";
        open.batch_execute(limits).await.unwrap();
        for _ in 0..20 {
            database.run_sql("INSERT INTO t VALUES (1)").await;
        }
        eventually("its age is reported", async || {
            let oldest = oldest(&database.db).await.ok()?;
            (oldest.transactions >= 20.0 && oldest.seconds > 0.5).then_some(())
        })
        .await;
    }
}
