//! What a worker's writes use of an account's quotas.

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use run_worker::leases::append::{Append, Appending};
use run_worker::leases::store::Claimed;
use shared::batch::{Batch, SetCall};
use shared::config::{Plans, Quotas};
use shared::db::{DbError, statement};
use shared::ids::ArtifactId;
use shared::missing_plans::{MissingPlan, missing_plans};
use shared::runs::events::{EventData, PublishedArtifact};
use shared::runs::{End, Finishing, RunEnd, RunResult};
use shared::testing::TestDatabase;
use std::sync::Arc;
use std::time::Duration;

use crate::run_sets::claim_all;
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

/// Appends as the worker does when nothing else waits.
async fn append_under(
    database: &TestDatabase,
    run: &Claimed,
    after: i64,
    events: &[EventData],
    quotas: Quotas,
) -> Result<bool, DbError> {
    let step = Append { fence: run.fence(), after, events: events.to_vec(), quotas };
    Appending::new(database.db.clone(), LEASE).alone(&Arc::new(step)).await
}

async fn running(database: &TestDatabase) -> Claimed {
    let (user, _) = pending_runs(database, 1).await;
    claim_one(&mut database.conn().await, &claimant("w", 5), user).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_on_the_day_of_the_answer() {
    let database = TestDatabase::create().await;
    let run = running(&database).await;
    let said = [answer("one"), answer("two")];
    let plain = Quotas::default();
    assert!(append_under(&database, &run, run.last_seq, &said, plain).await.unwrap());
    assert_eq!(used(&database).await.tokens, 0, "the plan has no quota for tokens");
    let last = run.last_seq + 2;
    assert!(append_under(&database, &run, last, &said, QUOTAS).await.unwrap());
    assert_eq!(used(&database).await.tokens, 10);
    assert!(!append_under(&database, &run, last, &said, QUOTAS).await.unwrap());
    assert_eq!(used(&database).await.tokens, 10, "a stale write counts nothing");
    // The run goes on after midnight.
    database.set_clock_ahead(Duration::from_hours(24)).await;
    let end = End {
        fence: run.fence(),
        after: last + 2,
        last_events: vec![answer("done")],
        end: RunEnd::Completed(RunResult::default()),
        quotas: QUOTAS,
    };
    Finishing::new(database.db.clone()).alone(&Arc::new(end)).await.unwrap();
    assert_eq!(used(&database).await.tokens, 5);
    assert_eq!(database.run_sql("SELECT 1 FROM runs WHERE input_tokens + output_tokens = 25").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_does_not_fit_writes_nothing() {
    let database = TestDatabase::create().await;
    let run = running(&database).await;
    let fits = [artifact(900)];
    assert!(append_under(&database, &run, run.last_seq, &fits, QUOTAS).await.unwrap());
    assert_eq!(used(&database).await.stored, 900);
    let last = run.last_seq + 1;
    let error = append_under(&database, &run, last, &[artifact(101)], QUOTAS).await.unwrap_err();
    assert!(error.is_over_quota() && !error.is_outage(), "{error}");
    assert_eq!(database.run_sql("SELECT 1 FROM artifacts").await, 1);
    assert!(append_under(&database, &run, last, &[artifact(100)], QUOTAS).await.unwrap());
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
        append_under(&database, run, run.last_seq, &[artifact(300)], QUOTAS).await.is_ok()
    });
    let saved = futures_util::future::join_all(saving).await.into_iter().filter(|saved| *saved).count();
    assert_eq!((saved, used(&database).await.stored), (3, 900));
}

/// The runs of one account save in one statement. It fails as a whole, and each run is then asked alone.
#[tokio::test(flavor = "multi_thread")]
async fn artifacts_of_one_set_stay_under_the_stored_bytes() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 10).await;
    let appends = Batch::start("append", 100, Appending::new(database.db.clone(), LEASE));
    let mut saving = Vec::new();
    for run in claim_all(&database, user, 10).await {
        let events = vec![artifact(300)];
        let step = Append { fence: run.fence(), after: run.last_seq, events, quotas: QUOTAS };
        saving.push(appends.call(Arc::new(step)));
    }
    let answers = futures_util::future::join_all(saving).await;
    let saved = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|written| *written)).count();
    let refused = answers.iter().filter(|answer| answer.as_ref().is_err_and(DbError::is_over_quota)).count();
    assert_eq!((saved, refused, used(&database).await.stored), (3, 7, 900), "{answers:?}");
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
