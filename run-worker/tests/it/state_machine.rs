//! Tries every transition from every status. Exactly the transitions of the table must succeed.

use diesel::QueryableByName;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, statement};
use shared::ids::{RunId, UserId};
use shared::runs::{
    ErrorCode, Fence, RunEnd, RunError, RunResult, RunStatus, TRANSITIONS, Transition, cancel, expire, finish,
};
use shared::testing::TestDatabase;
use uuid::Uuid;

use crate::{claim_one, claimant, pending_runs, take_over};

/// The attempt of a run that was claimed once.
const ATTEMPT: i32 = 1;

/// The fence of the worker. All runs get its claim, so that only the attempt and the status reject a finish.
async fn fence(conn: &mut Connection, run: RunId, attempt: i32) -> Fence {
    let claim = Uuid::new_v4();
    let setting = statement("UPDATE runs SET lease_claim = $1").bind::<SqlUuid, _>(claim);
    setting.execute(conn).await.unwrap();
    Fence { run, attempt, claim }
}

fn ends() -> [RunEnd; 2] {
    let error = RunError::new(ErrorCode::InternalError, "why", None);
    [RunEnd::Completed(RunResult::default()), RunEnd::Failed(error, None)]
}

async fn bring_to(conn: &mut Connection, user: UserId, run: RunId, state: RunStatus) {
    if !matches!(state, RunStatus::Pending) {
        claim_one(conn, &claimant("w", 5), user).await.unwrap();
    }
    let [completed, failed] = ends();
    match state {
        RunStatus::Pending | RunStatus::Running => {}
        RunStatus::Completed => {
            let fence = fence(conn, run, ATTEMPT).await;
            let _ = finish(conn, fence, &[], &completed).await.unwrap();
        }
        RunStatus::Failed => {
            let fence = fence(conn, run, ATTEMPT).await;
            let _ = finish(conn, fence, &[], &failed).await.unwrap();
        }
        RunStatus::Cancelled => {
            let _ = cancel(conn, user, None, run).await.unwrap();
        }
    }
}

/// Tries the transition.
async fn try_to(conn: &mut Connection, user: UserId, run: RunId, transition: Transition, end: &RunEnd) {
    match transition {
        Transition::Claim => {
            let _ = claim_one(conn, &claimant("other", 5), user).await;
        }
        Transition::TakeOver => {
            let sql =
                "UPDATE runs SET lease_expires_at = capi_now() - interval '1 s' WHERE status = 'running'";
            statement(sql).execute(conn).await.unwrap();
            let _ = take_over(conn, &claimant("other", 5), 5).await;
        }
        // A pending run has attempt 0.
        Transition::Finish => {
            for attempt in [0, ATTEMPT] {
                let fence = fence(conn, run, attempt).await;
                let _ = finish(conn, fence, &[], end).await.unwrap();
            }
        }
        Transition::Cancel => {
            let _ = cancel(conn, user, None, run).await.unwrap();
        }
        Transition::Expire => {
            let sql = "UPDATE runs SET queue_timeout_seconds = 1, created_at = capi_now() - interval '1 h'";
            statement(sql).execute(conn).await.unwrap();
            let _ = expire(conn, run).await.unwrap();
        }
    }
}

/// Returns the status of the only run, and its attempt and log as text.
async fn state(conn: &mut Connection) -> (RunStatus, String) {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        status: String,
        #[diesel(sql_type = Text)]
        log: String,
    }
    let sql = "SELECT r.status, r.attempt || ' ' || string_agg(e.type, ' ' ORDER BY e.seq) AS log
               FROM runs r JOIN run_events e ON e.run_id = r.id GROUP BY r.id";
    let row: Row = statement(sql).get_result(conn).await.unwrap();
    (row.status.parse().unwrap(), row.log)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_transitions_of_the_table_succeed() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    let mut made = Vec::new();
    for from in RunStatus::ALL {
        for transition in Transition::ALL {
            for end in ends() {
                let (user, ids) = pending_runs(&database, 1).await;
                bring_to(&mut conn, user, ids[0], from).await;
                let before = state(&mut conn).await;
                assert_eq!(before.0, from);
                try_to(&mut conn, user, ids[0], transition, &end).await;
                let after = state(&mut conn).await;
                if after == before {
                    let listed =
                        TRANSITIONS.iter().find(|(start, by, _)| *start == from && *by == transition);
                    assert!(
                        listed.is_none(),
                        "{transition:?} from {from:?} is in the table but changed nothing"
                    );
                } else {
                    made.push((from, transition, after.0));
                }
                database.run_sql("TRUNCATE run_events").await;
                database.run_sql("TRUNCATE runs CASCADE").await;
            }
        }
    }
    let all = |transitions: &[(RunStatus, Transition, RunStatus)]| {
        let mut named: Vec<_> = transitions.iter().map(|made| format!("{made:?}")).collect();
        named.sort();
        named.dedup();
        named
    };
    assert_eq!(all(&made), all(&TRANSITIONS));
}
