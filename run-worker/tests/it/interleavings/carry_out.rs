//! Runs operations on the database, with the functions that the services call.

use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types::{Integer, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use run_worker::leases::append::{Append, Appending};
use run_worker::leases::store::{
    Claimant, Wanted, claim, end_leases_of, give_back, give_claim_back, renew, take_over,
};
use shared::batch::SetCall;
use shared::config::Quotas;
use shared::db::{DbError, statement};
use shared::ids::RunId;
use shared::runs::{
    Cancelled, End, ErrorCode, Finished, Finishing, RunEnd, RunError, RunResult, cancel, expire_set,
};
use shared::testing::TestDatabase;
use uuid::Uuid;

use super::{CAP, Did, Held, Indices, LEASE, Memory, Op, RUNS_OF_A_USER, Stage, USERS, old, saved};
use crate::{claimant, user_message};

/// The probation of a suspect and an isolation follow the lease. They must be longer than the test.
const CLAIMED_FOR: Duration = Duration::from_hours(1);

pub(super) fn by(worker: usize) -> Claimant {
    Claimant { lease: CLAIMED_FOR, ..claimant(&format!("w{worker}"), CAP) }
}

/// Runs the operation. A claim or takeover gets the id `id`.
pub(super) async fn carry_out(
    database: &TestDatabase,
    stage: &Stage,
    memory: &mut Memory,
    (op, id): (Op, Uuid),
) -> Did {
    match op {
        Op::Claim { worker, counts, places, wait } => {
            let asked = (worker, places, wait);
            claimed(database, memory, asked, &wanted(stage, counts), id).await
        }
        Op::TakeOver { worker } => {
            let taking =
                database.db.write(|mut conn| async move { take_over(&mut conn, &by(worker), id, 10).await });
            let mut taken = taking.await.unwrap();
            taken.sort_by_key(|run| run.id);
            memory.splice(0..0, taken.iter().map(Held::of));
            Did::TookOver(taken.iter().map(|run| (run.id, run.attempt, run.losses)).collect())
        }
        Op::Append { held, .. } => Did::Wrote(append(database, memory, held).await),
        Op::Beat { .. } => {
            let fences = &memory.iter().map(|held| held.fence).collect::<Vec<_>>();
            let renewing = database.db.write(|mut conn| async move { renew(&mut conn, fences, LEASE).await });
            let mut kept: Vec<_> = renewing.await.unwrap().kept.into_iter().collect();
            kept.sort();
            Did::Kept(kept)
        }
        Op::Finish { held, well, .. } => Did::Ended(finish(database, memory, held, well).await),
        Op::GiveBack { held, .. } => {
            let Some(fence) = memory.get(held).map(|held| held.fence) else { return Did::Nothing };
            let giving = database.db.write(|mut conn| async move { give_back(&mut conn, fence).await });
            Did::Wrote(vec![giving.await.unwrap()])
        }
        Op::GiveClaimBack { worker, held } => {
            let Some(claim) = memory.get(held).map(|held| held.fence.claim) else { return Did::Nothing };
            let name = &by(worker).worker;
            let giving =
                database.db.write(|mut conn| async move { give_claim_back(&mut conn, name, claim).await });
            Did::GaveBack(in_order(database, giving.await.unwrap()).await)
        }
        Op::DeathNotice { worker } => Did::Noticed(notice(database, worker).await),
        _ => beside_workers(database, stage, memory, op).await,
    }
}

/// What the owners and time do, and workers of the former version.
async fn beside_workers(database: &TestDatabase, stage: &Stage, memory: &mut Memory, op: Op) -> Did {
    match op {
        Op::OldClaim { worker, user } => old::claim(database, memory, worker, stage.users[user]).await,
        Op::OldFinish { held, .. } => match memory.get(held).filter(|held| held.is_old()) {
            None => Did::Nothing,
            Some(held) => Did::Wrote(vec![old::finish(database, held.fence).await]),
        },
        Op::Cancel { run } => {
            let (id, user) = (stage.runs[run], stage.users[run / RUNS_OF_A_USER]);
            let cancelling =
                database.db.write(|mut conn| async move { cancel(&mut conn, user, None, id).await });
            Did::Cancelled(match cancelling.await.unwrap() {
                Cancelled::Done { held, startable, .. } => Cancelled::Done { lane: None, held, startable },
                other => other,
            })
        }
        Op::LeasePasses { run, long_ago } => {
            let sql = "UPDATE runs SET lease_expires_at = capi_now() - $2 * interval '1 min'
                       WHERE id = $1 AND status = 'running'";
            run_sql(database, sql, stage.runs[run], if long_ago { 600 } else { 1 }).await;
            Did::Nothing
        }
        Op::RunLives { run, isolation } => {
            let sql = "UPDATE run_events e SET at = least(e.at, capi_now() - $2 * interval '1 min')
                       FROM runs r WHERE r.id = $1 AND e.run_id = r.id AND e.seq = r.last_seq
                           AND e.type = 'run.taken_over'";
            run_sql(database, sql, stage.runs[run], if isolation { 100_000 } else { 3 }).await;
            Did::Nothing
        }
        Op::QueueTimePasses { runs } => {
            let runs: &[_] = &runs.below(stage.runs.len()).map(|run| stage.runs[run]).collect::<Vec<_>>();
            for run in runs {
                let sql = "UPDATE runs SET queue_timeout_seconds = $2 WHERE id = $1";
                run_sql(database, sql, *run, 1).await;
            }
            let expiring =
                database.db.write(|mut conn| async move { expire_set(&mut conn, runs, true).await });
            Did::Ended(
                expiring.await.unwrap().into_iter().map(|ended| without_lane(ended.unwrap())).collect(),
            )
        }
        Op::Replicate => {
            saved::replicate(database).await;
            Did::Nothing
        }
        Op::Failover => {
            saved::fail_over(database).await;
            Did::Nothing
        }
        _ => unreachable!("an operation of a worker"),
    }
}

fn wanted(stage: &Stage, counts: [u32; USERS]) -> Vec<Wanted> {
    let wanted = stage.users.iter().zip(counts).map(|(user, count)| Wanted { user: *user, count });
    wanted.filter(|wanted| wanted.count > 0).collect()
}

/// Users whose slots are locked are asked for again, as the worker does.
async fn claimed(
    database: &TestDatabase,
    memory: &mut Memory,
    (worker, places, wait): (usize, u32, bool),
    wanted: &[Wanted],
    id: Uuid,
) -> Did {
    let claiming = database
        .db
        .write(|mut conn| async move { claim(&mut conn, &by(worker), id, wanted, places, wait).await });
    let mut set = claiming.await.unwrap();
    for user in std::mem::take(&mut set.locked) {
        let left = places.saturating_sub(u32::try_from(set.runs.len()).unwrap());
        let waiting = database.db.write(|mut conn| async move {
            claim(&mut conn, &by(worker), Uuid::new_v4(), &[user], left, true).await
        });
        let late = waiting.await.unwrap();
        set.runs.extend(late.runs);
        set.more.extend(late.more);
    }
    set.runs.sort_by_key(|run| run.id);
    set.more.sort_by_key(|more| more.user);
    memory.splice(0..0, set.runs.iter().map(Held::of));
    let runs = set.runs.iter().map(|run| (run.id, run.attempt, run.last_seq)).collect();
    Did::Claimed(runs, set.more.iter().map(|more| (more.user, more.count)).collect())
}

/// Does a set as `shared::batch` does: what is locked, and all of a set that failed, is done alone.
async fn done_as_set<Call: SetCall>(call: &Call, items: &[Call::Item]) -> Vec<Call::Answer> {
    if items.is_empty() {
        return Vec::new();
    }
    let answers = call.together(items).await;
    let answers = answers.unwrap_or_else(|_| items.iter().map(|_| None).collect());
    let mut all = Vec::new();
    for (item, answer) in items.iter().zip(answers) {
        all.push(match answer {
            Some(answer) => answer,
            None => call.alone(item).await.unwrap(),
        });
    }
    all
}

async fn append(database: &TestDatabase, memory: &mut Memory, held: Indices) -> Vec<bool> {
    let call = Appending::new(database.db.clone(), LEASE);
    let chosen: Vec<_> = held.below(memory.len()).collect();
    let step = |at: &usize| {
        let Held { fence, last_seq } = memory[*at];
        let events = vec![user_message(&format!("attempt {}", fence.attempt))];
        Arc::new(Append { fence, after: last_seq, events, quotas: Quotas::default() })
    };
    let steps: Vec<_> = chosen.iter().map(step).collect();
    let wrote = done_as_set(&call, &steps).await;
    // Repeat the steps, like a worker whose answer was lost.
    let again = done_as_set(&call, &steps).await;
    assert!(
        !wrote.iter().zip(again).any(|(wrote, again)| *wrote && again),
        "the same step must not be recorded twice"
    );
    for (at, wrote) in chosen.into_iter().zip(&wrote) {
        memory[at].last_seq += i64::from(*wrote);
    }
    wrote
}

async fn finish(database: &TestDatabase, memory: &Memory, held: Indices, well: bool) -> Vec<Finished> {
    let error = RunError::new(ErrorCode::InternalError, "why", None);
    let end = if well { RunEnd::Completed(RunResult::default()) } else { RunEnd::Failed(error, None) };
    let end_of = |at: usize| {
        let Held { fence, last_seq } = memory[at];
        let (last_events, quotas) = (Vec::new(), Quotas::default());
        Arc::new(End { fence, after: last_seq, last_events, end: end.clone(), quotas })
    };
    let ends: Vec<_> = held.below(memory.len()).map(end_of).collect();
    let ended = done_as_set(&Finishing::new(database.db.clone()), &ends).await;
    ended.into_iter().map(without_lane).collect()
}

/// The model does not know the ids of lanes.
fn without_lane(finished: Finished) -> Finished {
    match finished {
        Finished::Done { user, startable, .. } => Finished::Done { user, lane: None, startable },
        Finished::Fenced => Finished::Fenced,
    }
}

/// Returns how many leases the notice ended.
async fn notice(database: &TestDatabase, worker: usize) -> i64 {
    let name = &by(worker).worker;
    let held: Result<Vec<_>, DbError> = database
        .db
        .read(|mut conn| async move {
            let sql = "SELECT id FROM runs
                       WHERE status = 'running' AND lease_owner = $1 AND lease_expires_at > capi_now()";
            Ok(statement(sql).bind::<Text, _>(name).load::<Row>(&mut conn).await?)
        })
        .await;
    let ended =
        database.db.write(|mut conn| async move { end_leases_of(&mut conn, name).await }).await.unwrap();
    in_order(database, held.unwrap().into_iter().map(|row| row.id).collect()).await;
    ended
}

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
}

/// Makes leases that one statement has ended differ, in the order of the ids: the statement leaves their
/// order open, and a takeover takes the oldest one.
async fn in_order(database: &TestDatabase, mut runs: Vec<RunId>) -> Vec<RunId> {
    runs.sort();
    for run in &runs {
        let sql = "UPDATE runs SET lease_expires_at = capi_now() - $2 * interval '0'
                   WHERE id = $1 AND status = 'running' AND lease_expires_at <= capi_now()";
        run_sql(database, sql, *run, 0).await;
    }
    runs
}

async fn run_sql(database: &TestDatabase, sql: &'static str, run: RunId, number: i32) {
    let running = database.db.write(|mut conn| async move {
        Ok(statement(sql)
            .bind::<SqlUuid, _>(run.uuid())
            .bind::<Integer, _>(number)
            .execute(&mut conn)
            .await?)
    });
    running.await.unwrap();
}
