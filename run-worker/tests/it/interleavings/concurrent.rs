//! Concurrent: each actor works as fast as it can. The order is unknown, so the test checks the invariants of
//! any order at the end, and the caps and the places all the time.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use proptest::prelude::*;
use shared::db::statement;
use shared::testing::TestDatabase;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::carry_out::carry_out;
use super::{CAP, Did, Memory, Op, WORKERS, over_sequences, stage};

#[derive(Debug, QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Selects the runs that violate an invariant.
const WRONG_RUNS: &str = "
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
    OR (SELECT array_agg(d.id) FROM webhook_deliveries d WHERE d.run_id = r.id)
        IS DISTINCT FROM CASE WHEN r.completed_at IS NOT NULL
            THEN ARRAY[webhook_id_v1(r.id, 'run.' || r.status, NULL)] END";

/// Users with more running runs than the cap, or whose places are not those of their running runs. One
/// statement sees one state of the database.
const WRONG_PLACES: &str = "
SELECT concat_ws(' ', s.running, 'places and', h.running, 'running') AS wrong
FROM user_slots s CROSS JOIN LATERAL (
    SELECT count(*) AS running FROM runs r WHERE r.user_id = s.user_id AND r.status = 'running') h
WHERE s.running <> h.running OR h.running > ";

#[derive(Debug, QueryableByName)]
struct Wrong {
    #[diesel(sql_type = Text)]
    wrong: String,
}

async fn wrong(database: &TestDatabase, sql: &str) -> Vec<String> {
    let rows: Vec<Wrong> = statement(sql.to_owned()).load(&mut database.conn().await).await.unwrap();
    rows.into_iter().map(|row| row.wrong).collect()
}

async fn check(database: &TestDatabase, ops: &[(Op, Uuid)]) -> Result<(), TestCaseError> {
    let stage = stage(database).await;
    let done = CancellationToken::new();
    let actors = (0..=WORKERS).map(async |number| {
        let (mut memory, mut recorded) = (Memory::new(), 0);
        for op in ops.iter().filter(|(op, _)| op.actor() == number && op.is_concurrent()) {
            let did = carry_out(database, &stage, &mut memory, *op).await;
            if let (Op::Append { .. }, Did::Wrote(wrote)) = (op.0, did) {
                recorded += wrote.iter().filter(|wrote| **wrote).count();
            }
        }
        recorded
    });
    let places = format!("{WRONG_PLACES}{CAP}");
    let watching = async {
        let mut seen = Vec::new();
        while !done.is_cancelled() {
            seen.extend(wrong(database, &places).await);
        }
        seen
    };
    let acting = async {
        let recorded = join_all(actors).await;
        done.cancel();
        recorded.iter().sum::<usize>()
    };
    let (recorded, seen) = futures_util::future::join(acting, watching).await;
    prop_assert!(seen.is_empty(), "{:?}", seen);
    let said = "SELECT count(*) AS count FROM run_events WHERE type = 'message'";
    let said: Count = statement(said).get_result(&mut database.conn().await).await.unwrap();
    prop_assert_eq!(said.count, i64::try_from(recorded).unwrap(), "the log holds exactly the recorded steps");
    for sql in [WRONG_RUNS, &places] {
        let wrong = wrong(database, sql).await;
        prop_assert!(wrong.is_empty(), "{:?}", wrong);
    }
    Ok(())
}

#[test]
fn concurrent_operations_keep_the_invariants() {
    over_sequences(32, 120, |database, ops, runtime| runtime.block_on(check(database, &ops)));
}
