//! Concurrent: each actor has its own connection and works as fast as it can. The order is unknown, so the
//! test checks the invariants of any order at the end, and the cap all the time.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use proptest::prelude::*;
use shared::db::statement;
use shared::testing::TestDatabase;
use tokio_util::sync::CancellationToken;

use super::{CAP, Did, Memory, Op, WORKERS, actor, carry_out, over_sequences, stage};

#[derive(Debug, QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Selects the runs that violate an invariant.
const WRONG: &str = "
WITH logs AS (
    SELECT run_id, count(*) AS events, max(seq) AS last, array_agg(type ORDER BY seq) AS types,
        array_agg(attempt ORDER BY seq) FILTER (WHERE attempt > 0) AS attempts,
        count(*) FILTER (WHERE type IN ('run.completed', 'run.failed', 'run.cancelled')) AS ends
    FROM run_events GROUP BY run_id)
SELECT concat_ws(' ', r.status, r.attempt, r.last_seq, l.types::text, l.attempts::text) AS wrong
FROM runs r LEFT JOIN logs l ON l.run_id = r.id
WHERE l.run_id IS NULL OR l.events <> r.last_seq OR l.last <> r.last_seq OR l.types[1] <> 'run.created'
    OR l.ends <> (r.completed_at IS NOT NULL)::int
    OR r.completed_at IS NOT NULL AND l.types[r.last_seq] <> 'run.' || r.status
    OR l.attempts <> (SELECT array_agg(a ORDER BY a) FROM unnest(l.attempts) a)
    OR r.attempt <> cardinality(
        array_positions(l.types, 'run.started') || array_positions(l.types, 'run.taken_over'))
    OR (SELECT count(*) FROM webhook_deliveries d WHERE d.run_id = r.id)
        <> (r.completed_at IS NOT NULL)::int";

#[derive(Debug, QueryableByName)]
struct Wrong {
    #[diesel(sql_type = Text)]
    wrong: String,
}

async fn check(database: &TestDatabase, ops: &[Op]) -> Result<(), TestCaseError> {
    let (user, ids) = stage(database).await;
    let done = CancellationToken::new();
    let actors = (0..=WORKERS).map(async |number| {
        let (mut conn, mut memory, mut recorded) = (database.conn().await, Memory::new(), 0);
        for op in ops.iter().filter(|op| actor(**op) == number) {
            let did = carry_out(&mut conn, user, &ids, &mut memory, *op).await;
            recorded += i64::from(matches!(op, Op::Append { .. }) && did == Did::Wrote(true));
        }
        recorded
    });
    let watching = async {
        let (mut conn, mut most) = (database.conn().await, 0);
        let sql = "SELECT count(*) AS count FROM runs WHERE status = 'running'";
        while !done.is_cancelled() {
            let now: Count = statement(sql).get_result(&mut conn).await.unwrap();
            most = most.max(now.count);
        }
        most
    };
    let acting = async {
        let recorded = join_all(actors).await;
        done.cancel();
        recorded.iter().sum::<i64>()
    };
    let (recorded, most) = futures_util::future::join(acting, watching).await;
    prop_assert!(most <= i64::from(CAP), "{} runs were running at once", most);
    let mut conn = database.conn().await;
    let said = "SELECT count(*) AS count FROM run_events WHERE type = 'message'";
    let said: Count = statement(said).get_result(&mut conn).await.unwrap();
    prop_assert_eq!(said.count, recorded, "the log holds exactly the appends that succeeded");
    let wrong: Vec<Wrong> = statement(WRONG).load(&mut conn).await.unwrap();
    prop_assert!(wrong.is_empty(), "{:?}", wrong.iter().map(|run| &run.wrong).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn concurrent_operations_keep_the_invariants() {
    over_sequences(32, 120, |database, ops, runtime| runtime.block_on(check(database, &ops)));
}
