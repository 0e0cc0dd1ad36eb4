//! Sequential: each operation must return what the model predicts, the places must be right after each, and
//! the rows must equal the model at the end.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use proptest::prelude::*;
use shared::db::statement;
use shared::ids::{RunId, UserId};
use shared::testing::TestDatabase;
use uuid::Uuid;

use super::carry_out::carry_out;
use super::model::Model;
use super::{Memory, Op, WORKERS, over_sequences, saved, stage};

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
FROM runs r ORDER BY r.created_at, r.id";

#[derive(Debug, QueryableByName)]
struct Slot {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Integer)]
    running: i32,
}

/// The places of each user, as the database counts them.
async fn places(database: &TestDatabase) -> Vec<(UserId, u32)> {
    let slots = statement("SELECT user_id, running FROM user_slots ORDER BY user_id");
    let slots: Vec<Slot> = slots.load(&mut database.conn().await).await.unwrap();
    slots.iter().map(|slot| (slot.user_id, slot.running.try_into().unwrap())).collect()
}

async fn check(database: &TestDatabase, ops: &[(Op, Uuid)]) -> Result<(), TestCaseError> {
    let stage = stage(database).await;
    saved::replicate(database).await;
    let mut model = Model::of(&stage);
    let mut memories: [Memory; WORKERS + 1] = Default::default();
    for (number, op) in ops.iter().enumerate() {
        let memory = &mut memories[op.0.actor()];
        let predicted = model.predict(memory, number, *op);
        let did = carry_out(database, &stage, memory, *op).await;
        prop_assert_eq!(did, predicted, "operation {}: {:?}", number, op.0);
        let mut held: Vec<_> = model.users.iter().map(|user| (*user, model.running(*user))).collect();
        held.sort();
        prop_assert_eq!(places(database).await, held, "places after operation {}: {:?}", number, op.0);
    }
    let rows: Vec<Row> = statement(ROWS).load(&mut database.conn().await).await.unwrap();
    prop_assert_eq!(rows.len(), model.runs.len());
    for (row, run) in rows.iter().zip(&model.runs) {
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
    over_sequences(48, 70, |database, ops, runtime| runtime.block_on(check(database, &ops)));
}
