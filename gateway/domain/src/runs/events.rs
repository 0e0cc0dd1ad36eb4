//! Reads a run's events. The caller has checked that the run is the user's.

use shared::db::Db;
use shared::ids::RunId;
use shared::runs::events::{self, Event};

use crate::Refusal;

/// The events after number `after`, in order: at most `limit`, and not many more than `bytes`. The page is
/// empty only if there is none.
pub async fn read_after(
    db: &Db,
    run: RunId,
    after: i64,
    limit: i64,
    bytes: i64,
) -> Result<Vec<Event>, Refusal> {
    let reading =
        db.read(|mut conn| async move { events::read_after(&mut conn, run, after, limit, bytes).await });
    Ok(reading.await?)
}

#[cfg(test)]
mod tests {
    use diesel::QueryableByName;
    use diesel::sql_types::{BigInt, Uuid as SqlUuid};
    use diesel_async::RunQueryDsl;
    use shared::db::{Connection, statement};
    use shared::testing::TestDatabase;

    use super::*;

    /// Chunks of large values that this transaction has read.
    async fn chunks_read(conn: &mut Connection) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            chunks: i64,
        }
        // PostgreSQL counts them at the index through which it finds them.
        let sql = "SELECT sum(pg_stat_get_xact_tuples_fetched(i.indexrelid))::bigint AS chunks
                   FROM pg_class c JOIN pg_index i ON i.indrelid = c.reltoastrelid
                   WHERE c.relname LIKE 'run_events%'";
        let row: Row = statement(sql).get_result(conn).await.unwrap();
        row.chunks
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_costs_what_it_returns() {
        const EVENTS: i64 = 100;
        let (database, run) = (TestDatabase::create().await, RunId::generate());
        let conn = &mut database.conn().await;
        // 32 KB each, which does not compress well.
        let made = "INSERT INTO run_events (run_id, seq, type, at, attempt, data)
                    SELECT $1, n, 'run.created', capi_now(), 0, jsonb_build_object('text', (
                        SELECT string_agg(md5(n::text || k::text), '') FROM generate_series(1, 1000) k))
                    FROM generate_series(1, $2) n";
        let made = statement(made).bind::<SqlUuid, _>(run.uuid()).bind::<BigInt, _>(EVENTS);
        made.execute(conn).await.unwrap();
        statement("BEGIN").execute(conn).await.unwrap();
        let two = events::read_after(conn, run, 10, EVENTS, 40_000).await.unwrap();
        assert_eq!(two.iter().map(|event| event.seq).collect::<Vec<_>>(), [11, 12]);
        let of_two = chunks_read(conn).await;
        let all = events::read_after(conn, run, 0, EVENTS, i64::MAX).await.unwrap();
        assert_eq!(all.len(), 100);
        let of_all = chunks_read(conn).await - of_two;
        assert!(of_two > 0 && of_two * 20 < of_all, "{of_two} of {of_all}");
        let few = events::read_after(conn, run, 95, 3, i64::MAX).await.unwrap();
        assert_eq!(few.iter().map(|event| event.seq).collect::<Vec<_>>(), [96, 97, 98]);
        assert!(events::read_after(conn, run, 100, 3, 1).await.unwrap().is_empty());
    }
}
