//! Sequential: each operation must return what the model predicts, and the rows must equal the model at the
//! end.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use proptest::prelude::*;
use shared::db::statement;
use shared::ids::RunId;
use shared::testing::TestDatabase;

use super::model::{Run, predict};
use super::{Memory, Op, WORKERS, actor, carry_out, over_sequences, stage};

#[derive(Debug, QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = Integer)]
    losses: i32,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = Text)]
    log: String,
    #[diesel(sql_type = BigInt)]
    deliveries: i64,
}

const ROWS: &str = "
SELECT r.id, r.status, r.attempt, r.losses, r.last_seq,
    (SELECT string_agg(e.seq || ' ' || e.type, ', ' ORDER BY e.seq)
     FROM run_events e WHERE e.run_id = r.id) AS log,
    (SELECT count(*) FROM webhook_deliveries d WHERE d.run_id = r.id) AS deliveries
FROM runs r ORDER BY r.created_at";

async fn check(database: &TestDatabase, ops: &[Op]) -> Result<(), TestCaseError> {
    let (user, ids) = stage(database).await;
    let mut conn = database.conn().await;
    let mut model: Vec<_> = ids.iter().copied().map(Run::pending).collect();
    let mut memories: [Memory; WORKERS + 1] = Default::default();
    for (number, op) in ops.iter().enumerate() {
        let memory = &mut memories[actor(*op)];
        let predicted = predict(&mut model, memory, number, *op);
        let did = carry_out(&mut conn, user, &ids, memory, *op).await;
        prop_assert_eq!(did, predicted, "operation {}: {:?}", number, op);
    }
    let rows: Vec<Row> = statement(ROWS).load(&mut conn).await.unwrap();
    prop_assert_eq!(rows.len(), model.len());
    for (row, run) in rows.iter().zip(&model) {
        let numbered = run.log.iter().zip(1..).map(|(kind, seq): (_, i64)| format!("{seq} {kind}"));
        prop_assert_eq!(
            (row.id, row.status.as_str(), row.attempt),
            (run.id, run.status.as_str(), run.attempt)
        );
        prop_assert_eq!((&row.log, row.losses), (&numbered.collect::<Vec<_>>().join(", "), run.losses));
        prop_assert_eq!(row.last_seq, i64::try_from(run.log.len()).unwrap());
        prop_assert_eq!(
            row.deliveries,
            i64::from(run.status.is_over()),
            "a run that is over has exactly one webhook delivery"
        );
    }
    Ok(())
}

#[test]
fn sequential_operations_do_what_the_model_predicts() {
    over_sequences(48, 60, |database, ops, runtime| runtime.block_on(check(database, &ops)));
}
