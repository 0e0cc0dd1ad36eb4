//! Stale writes change nothing.

use std::collections::HashSet;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use run_worker::leases::append::append;
use run_worker::leases::store::{Renewed, give_back, renew};
use shared::db::statement;
use shared::runs::{Finished, RunEnd, RunResult, finish};
use shared::testing::TestDatabase;

use crate::{LEASE, claim_one, claimant, pending_runs, take_over, user_message};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    gaps: i64,
}

async fn state(database: &TestDatabase) -> String {
    let sql = "SELECT r.status || ' ' || r.attempt || ' ' || r.last_seq || ' '
                   || coalesce(r.result::text, '-') || ' '
                   || (SELECT count(*) FROM webhook_deliveries) AS state,
               r.last_seq - (SELECT count(*) FROM run_events e WHERE e.run_id = r.id) AS gaps FROM runs r";
    let row: Row = statement(sql).get_result(&mut database.conn().await).await.unwrap();
    assert_eq!(row.gaps, 0, "event numbers have no gaps");
    row.state
}

fn completed(text: &str) -> RunEnd {
    RunEnd::Completed(RunResult { text: text.to_owned(), ..RunResult::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_writes_are_rejected() {
    let database = TestDatabase::create().await;
    let (user, ids) = pending_runs(&database, 1).await;
    let mut conn = database.conn().await;
    let sleeper = claim_one(&mut conn, &claimant("sleeper", 5), user).await.unwrap();
    database.run_sql("UPDATE runs SET lease_expires_at = capi_now() - interval '1 s'").await;
    let successor = take_over(&mut conn, &claimant("successor", 5), 5).await.remove(0);
    let before = state(&database).await;

    let said = [user_message("late")];
    assert!(!append(&mut conn, sleeper.fence(), successor.last_seq, &said, LEASE).await.unwrap());
    let late = finish(&mut conn, sleeper.fence(), &said, &completed("late")).await.unwrap();
    assert_eq!(late, Finished::Fenced);
    assert!(!give_back(&mut conn, sleeper.fence()).await.unwrap());
    assert_eq!(renew(&mut conn, &[sleeper.fence()], LEASE).await.unwrap(), Renewed::default());
    assert_eq!(state(&database).await, before, "stale writes change nothing");

    assert_eq!(renew(&mut conn, &[successor.fence()], LEASE).await.unwrap().kept, HashSet::from_iter(ids));
    let after = successor.last_seq;
    assert!(append(&mut conn, successor.fence(), after, &said, LEASE).await.unwrap());
    assert!(
        !append(&mut conn, successor.fence(), after, &said, LEASE).await.unwrap(),
        "the same append does nothing the second time"
    );
    let done = finish(&mut conn, successor.fence(), &said, &completed("good")).await.unwrap();
    assert!(matches!(done, Finished::Done { lane: Some(_), .. }), "{done:?}");
    let ended = state(&database).await;
    assert_eq!(ended, r#"completed 2 6 {"text": "good"} 1"#);
    let again = finish(&mut conn, successor.fence(), &[], &completed("again")).await.unwrap();
    assert_eq!(again, Finished::Fenced);
    assert_eq!(state(&database).await, ended, "a run that is over does not change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_not_completed_later() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 1).await;
    let mut conn = database.conn().await;
    let running = claim_one(&mut conn, &claimant("w", 5), user).await.unwrap();
    database
        .run_sql("UPDATE runs SET status = 'cancelled', completed_at = capi_now(), lease_expires_at = NULL")
        .await;
    let late = finish(&mut conn, running.fence(), &[], &completed("late")).await.unwrap();
    assert_eq!(late, Finished::Fenced);
    assert_eq!(state(&database).await, "cancelled 1 2 - 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_given_back_is_not_renewed_by_late_statements() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 1).await;
    let mut conn = database.conn().await;
    let running = claim_one(&mut conn, &claimant("w", 5), user).await.unwrap();
    assert!(give_back(&mut conn, running.fence()).await.unwrap());
    assert_eq!(renew(&mut conn, &[running.fence()], LEASE).await.unwrap(), Renewed::default());
    assert!(
        !append(&mut conn, running.fence(), running.last_seq, &[user_message("late")], LEASE).await.unwrap()
    );
    assert_eq!(
        take_over(&mut conn, &claimant("other", 5), 1).await.len(),
        1,
        "another worker takes the run over at once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_costs_no_other_run_its_lease() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 2).await;
    let (mut conn, mut stopped) = (database.conn().await, database.conn().await);
    let by = claimant("w", 5);
    let locked = claim_one(&mut conn, &by, user).await.unwrap();
    let free = claim_one(&mut conn, &by, user).await.unwrap();
    let fences = [locked.fence(), free.fence()];
    for sql in ["BEGIN", "SELECT id FROM runs ORDER BY created_at, id LIMIT 1 FOR UPDATE"] {
        statement(sql).execute(&mut stopped).await.unwrap();
    }
    let renewed = renew(&mut conn, &fences, LEASE).await.unwrap();
    assert_eq!((renewed.kept, renewed.locked), (HashSet::from([free.id]), HashSet::from([locked.id])));
    statement("ROLLBACK").execute(&mut stopped).await.unwrap();
    let renewed = renew(&mut conn, &fences, LEASE).await.unwrap();
    assert_eq!(renewed.kept, HashSet::from([free.id, locked.id]));
}
