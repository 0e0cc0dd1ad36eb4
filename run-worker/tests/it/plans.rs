//! A write reads as many pages however many runs there are, whatever the planner knew when the plan was made.

use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use run_worker::leases::append::{Append, append_set};
use shared::config::Quotas;
use shared::db::{Connection, statement};
use shared::ids::{RunId, UserId};
use shared::runs::{Cancelled, End, Fence, Finished, RunEnd, RunResult, cancel, expire_set, finish_set};
use shared::testing::TestDatabase;
use uuid::Uuid;

use crate::run_sets::claim_all;
use crate::{LEASE, pending_runs, user_message};

const USERS: usize = 10;
const SETS: [usize; 3] = [1, 8, 64];

#[derive(QueryableByName)]
struct Pages {
    #[diesel(sql_type = BigInt)]
    pages: i64,
}

/// The pages of tables and indexes that this session has read. It forgets them between transactions only.
async fn pages(conn: &mut Connection) -> i64 {
    let sql = "SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::bigint AS pages FROM pg_class
               WHERE relnamespace IN ('public'::regnamespace, 'pg_toast'::regnamespace)
                 AND relkind IN ('r', 'i', 't')";
    let row: Pages = statement(sql).get_result(conn).await.unwrap();
    row.pages
}

/// The pages that `work` reads. What it changes is rolled back.
async fn pages_of(conn: &mut Connection, work: impl AsyncFn(&mut Connection)) -> i64 {
    let mut fewest = i64::MAX;
    // The first call of a connection also reads catalogs, and makes the plans. So does a call after other
    // tests made so many databases that PostgreSQL dropped what the connection knew.
    for _ in 0..3 {
        statement("BEGIN").execute(conn).await.unwrap();
        let before = pages(conn).await;
        work(conn).await;
        fewest = fewest.min(pages(conn).await - before);
        statement("ROLLBACK").execute(conn).await.unwrap();
    }
    fewest
}

#[derive(Debug, Clone, QueryableByName)]
struct Run {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = SqlUuid)]
    claim: Uuid,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
}

impl Run {
    fn fence(&self) -> Fence {
        Fence { run: self.id, attempt: self.attempt, claim: self.claim }
    }
}

/// Runs from everywhere in the tables.
async fn some(database: &TestDatabase, condition: &str) -> Vec<Run> {
    let sql = format!(
        "SELECT id, user_id, attempt, coalesce(lease_claim, id) AS claim, last_seq FROM runs WHERE {condition}
         ORDER BY hashtext(id::text) LIMIT 64"
    );
    statement(sql).load(&mut database.conn().await).await.unwrap()
}

/// Copies each running run so many times: running, completed, and pending and overdue.
async fn multiply(database: &TestDatabase, copies: usize) {
    for (status, more_columns, more_values) in [
        (
            "running",
            "lease_owner, lease_claim, lease_expires_at, holds_place, counted_at",
            "'w', gen_random_uuid(), capi_now() + interval '1 h', true, capi_now()",
        ),
        ("completed", "result, completed_at", "'{}', capi_now()"),
        ("pending", "queue_timeout_seconds", "1"),
    ] {
        let sql = format!(
            "INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs,
                 chat_model_id, metadata, created_at, started_at, last_seq, attempt, webhook_url,
                 webhook_host, {more_columns})
             SELECT capi_uuid_v7(capi_now()), r.user_id, r.app_id, r.app_version_id, 'api', '{status}', 't',
                 '{{}}', 'm', '{{}}', capi_now() - interval '1 min', capi_now(), 2, 1, r.webhook_url,
                 r.webhook_host, {more_values}
             FROM runs r, generate_series(1, {copies}) WHERE r.title = 't' AND r.lease_owner = 'w'
                 AND r.request_id = 'first'"
        );
        database.run_sql(sql).await;
    }
}

/// Checks the pages of sets of these sizes.
async fn check(database: &TestDatabase, conn: &mut Connection, sizes: &[usize], planned: &str) {
    let running = some(database, "status = 'running'").await;
    let pending = some(database, "status = 'pending' AND queue_timeout_seconds = 1").await;
    for size in sizes {
        let few = i64::try_from(*size).unwrap();
        let steps: Vec<_> = running[..*size].iter().map(step).collect();
        let read = pages_of(conn, async |conn| {
            let answers = append_set(conn, &steps, LEASE, false).await.unwrap();
            assert!(answers.iter().all(|written| *written == Some(true)), "{answers:?}");
        })
        .await;
        assert!(read <= 30 + 20 * few, "{size} steps read {read} pages, planned {planned}");
        let ends: Vec<_> = running[..*size].iter().map(end).collect();
        let read = pages_of(conn, async |conn| {
            let answers = finish_set(conn, &ends).await.unwrap();
            assert!(are_done(&answers), "{answers:?}");
        })
        .await;
        assert!(read <= 60 + 120 * few, "{size} ends read {read} pages, planned {planned}");
        let overdue: Vec<_> = pending.iter().take(*size).map(|run| run.id).collect();
        let read = pages_of(conn, async |conn| {
            let answers = expire_set(conn, &overdue, false).await.unwrap();
            assert!(are_done(&answers), "{answers:?}");
        })
        .await;
        assert!(read <= 60 + 120 * few, "{size} overdue runs read {read} pages, planned {planned}");
    }
    let run = &running[0];
    let read = pages_of(conn, async |conn| {
        let done = cancel(conn, run.user_id, None, run.id).await.unwrap();
        assert!(matches!(done, Cancelled::Done { held: true, .. }), "{done:?}");
    })
    .await;
    assert!(read <= 300, "a cancel read {read} pages, planned {planned}");
}

fn are_done(answers: &[Option<Finished>]) -> bool {
    answers.iter().all(|answer| matches!(answer, Some(Finished::Done { lane: Some(_), .. })))
}

fn step(run: &Run) -> Arc<Append> {
    let events = vec![user_message("go")];
    Arc::new(Append { fence: run.fence(), after: run.last_seq, events, quotas: Quotas::default() })
}

fn end(run: &Run) -> Arc<End> {
    Arc::new(End {
        fence: run.fence(),
        after: run.last_seq,
        last_events: vec![user_message("last")],
        end: RunEnd::Completed(RunResult::default()),
        quotas: Quotas::default(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_runs_read_few_pages_whatever_the_plan_was_made_for() {
    let database = TestDatabase::create().await;
    database.disable_autovacuum().await;
    for _ in 0..USERS {
        let (user, _) = pending_runs(&database, 1).await;
        claim_all(&database, user, 1).await;
    }
    database.run_sql("UPDATE runs SET request_id = 'first'").await;
    let mut early = database.conn().await;
    check(&database, &mut early, &SETS[..1], "for ten runs").await;
    multiply(&database, 500).await;
    check(&database, &mut early, &SETS, "for ten runs").await;
    let mut later = database.conn().await;
    check(&database, &mut later, &SETS, "without statistics").await;
    // Also removes the row versions that the checks rolled back. A row whose page is full moves to another
    // one.
    database.run_sql("VACUUM (ANALYZE)").await;
    check(&database, &mut early, &SETS, "before the statistics").await;
    database.run_sql("VACUUM").await;
    let mut last = database.conn().await;
    check(&database, &mut last, &SETS, "with statistics").await;
}
