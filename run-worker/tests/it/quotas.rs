//! What a worker's writes use of an account's quotas.

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use run_worker::leases::append::append_under;
use run_worker::leases::store::Claimed;
use shared::config::{Plans, Quotas};
use shared::db::statement;
use shared::ids::ArtifactId;
use shared::missing_plans::{MissingPlan, missing_plans};
use shared::runs::events::{EventData, PublishedArtifact};
use shared::runs::{RunEnd, RunResult, finish_under};
use shared::testing::TestDatabase;
use std::time::Duration;

use crate::{LEASE, answer, claim_one, claimant, pending_runs};

const QUOTAS: Quotas = Quotas {
    max_pending_runs: None,
    max_stored_bytes: Some(1000),
    max_request_bytes_per_day: None,
    max_tokens_per_day: Some(100),
};

#[derive(Debug, PartialEq, Eq, QueryableByName)]
struct Use {
    #[diesel(sql_type = BigInt)]
    stored: i64,
    #[diesel(sql_type = BigInt)]
    tokens: i64,
}

async fn used(database: &TestDatabase) -> Use {
    // The first statement that needs the row makes it.
    let sql = "SELECT coalesce(sum(stored_bytes), 0)::bigint AS stored,
                      coalesce(sum(tokens), 0)::bigint AS tokens FROM account_use";
    statement(sql).get_result(&mut database.conn().await).await.unwrap()
}

fn artifact(size: u64) -> EventData {
    EventData::Artifact(PublishedArtifact {
        id: ArtifactId::generate(),
        media_type: "text/plain".to_owned(),
        title: "a.txt".to_owned(),
        size,
        sha256: "00".repeat(32),
    })
}

async fn running(database: &TestDatabase) -> Claimed {
    let (user, _) = pending_runs(database, 1).await;
    claim_one(&mut database.conn().await, &claimant("w", 5), user).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_on_the_day_of_the_answer() {
    let database = TestDatabase::create().await;
    let run = running(&database).await;
    let mut conn = database.conn().await;
    let said = [answer("one"), answer("two")];
    let plain = Quotas::default();
    assert!(append_under(&mut conn, run.fence(), run.last_seq, &said, LEASE, &plain).await.unwrap());
    assert_eq!(used(&database).await.tokens, 0, "the plan has no quota for tokens");
    let last = run.last_seq + 2;
    assert!(append_under(&mut conn, run.fence(), last, &said, LEASE, &QUOTAS).await.unwrap());
    assert_eq!(used(&database).await.tokens, 10);
    assert!(!append_under(&mut conn, run.fence(), last, &said, LEASE, &QUOTAS).await.unwrap());
    assert_eq!(used(&database).await.tokens, 10, "a stale write counts nothing");
    // The run goes on after midnight.
    database.set_clock_ahead(Duration::from_hours(24)).await;
    let end = RunEnd::Completed(RunResult::default());
    finish_under(&mut conn, run.fence(), &[answer("done")], &end, &QUOTAS).await.unwrap();
    assert_eq!(used(&database).await.tokens, 5);
    assert_eq!(database.run_sql("SELECT 1 FROM runs WHERE input_tokens + output_tokens = 25").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_does_not_fit_writes_nothing() {
    let database = TestDatabase::create().await;
    let run = running(&database).await;
    let mut conn = database.conn().await;
    let fits = [artifact(900)];
    assert!(append_under(&mut conn, run.fence(), run.last_seq, &fits, LEASE, &QUOTAS).await.unwrap());
    assert_eq!(used(&database).await.stored, 900);
    let last = run.last_seq + 1;
    let error =
        append_under(&mut conn, run.fence(), last, &[artifact(101)], LEASE, &QUOTAS).await.unwrap_err();
    assert!(error.is_over_quota() && !error.is_outage(), "{error}");
    assert_eq!(database.run_sql("SELECT 1 FROM artifacts").await, 1);
    assert!(append_under(&mut conn, run.fence(), last, &[artifact(100)], LEASE, &QUOTAS).await.unwrap());
    assert_eq!(used(&database).await.stored, 1000);
}

/// Each run saves an artifact at once; the account has room for three of ten.
#[tokio::test(flavor = "multi_thread")]
async fn h4_artifacts_of_concurrent_runs_stay_under_the_stored_bytes() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 10).await;
    let mut claimed = Vec::new();
    for _ in 0..10 {
        let run = claim_one(&mut database.conn().await, &claimant("w", 10), user).await;
        claimed.push(run.unwrap());
    }
    let saving = claimed.iter().map(|run| async {
        let mut conn = database.conn().await;
        append_under(&mut conn, run.fence(), run.last_seq, &[artifact(300)], LEASE, &QUOTAS).await.is_ok()
    });
    let saved = futures_util::future::join_all(saving).await.into_iter().filter(|saved| *saved).count();
    assert_eq!((saved, used(&database).await.stored), (3, 900));
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_accounts_that_no_file_has_are_found() {
    let database = TestDatabase::create().await;
    pending_runs(&database, 1).await;
    let missing = async || missing_plans(&database.db, &Plans::built_in()).await.unwrap();
    assert_eq!(missing().await, []);
    database.run_sql("UPDATE users SET plan = 'gold'").await;
    assert_eq!(missing().await, [MissingPlan { plan: "gold".to_owned(), accounts: 1 }]);
}
