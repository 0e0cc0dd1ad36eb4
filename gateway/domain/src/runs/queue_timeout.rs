//! Fails pending runs that no worker started within their `queueTimeoutSeconds`. The gateway does this
//! because a lack of workers is the usual reason that a run waits.
//!
//! A run that cannot be failed does not stop those behind it: each poll goes through all overdue runs, page
//! by page, and leaves such a run out for a growing time.

use std::collections::HashMap;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, Db, DbError, statement};
use shared::ids::{LaneId, RunId};
use shared::lifecycle::Lifecycle;
use shared::queue::{Broadcast, Publisher, WorkQueue};
use shared::runs::{ErrorCode, Finished, expire, expire_set};
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(1);
/// Overdue runs that one statement reads.
const PAGE: usize = 200;
/// Runs that one statement fails.
const SET: usize = 64;
/// Before all times.
const START: &str = "-infinity";
/// How long a run that could not be failed is left out: first, and at most. The time doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_mins(10);
/// Runs that are remembered as left out. More are tried again at each poll.
const MAX_LEFT_OUT: usize = 10_000;

/// The runs that were due after `$1`, a time as text. Runs that were due at the same time are on one page.
/// The database's time is a sub-select: an index condition cannot be volatile, so every pending run would be
/// read. Gateways that poll at the same time find the same runs; each run is failed once.
const OVERDUE: &str = "
SELECT id, ((created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s')::text AS due FROM runs
WHERE status = 'pending'
  AND (created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s'
      <= (SELECT capi_now() AT TIME ZONE 'UTC')
  AND (created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s' > $1::timestamp
ORDER BY (created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s'
FETCH FIRST ($2) ROWS WITH TIES";

#[derive(QueryableByName)]
struct Overdue {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    /// As PostgreSQL writes it, to the microsecond.
    #[diesel(sql_type = Text)]
    due: String,
}

async fn overdue(conn: &mut Connection, after: &str) -> Result<Vec<Overdue>, DbError> {
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    Ok(statement(OVERDUE).bind::<Text, _>(after).bind::<BigInt, _>(most).load(conn).await?)
}

/// Polls until the process stops.
pub async fn sweep(db: Db, publisher: Publisher, lifecycle: Lifecycle) {
    let mut sweep = Sweep::new(db);
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
        let mut after = START.to_owned();
        loop {
            let page = sweep.fail_page(&after).await;
            announce(&publisher, sweep.ended.drain(..));
            match page {
                Ok(None) => break,
                Ok(Some(last)) => after = last,
                Err(error) => {
                    tracing::warn!(%error, "failed to find overdue runs");
                    break;
                }
            }
            if lifecycle.stopping().is_cancelled() {
                return;
            }
        }
    }
}

fn announce(publisher: &Publisher, ended: impl Iterator<Item = (RunId, Option<LaneId>)>) {
    let code = ErrorCode::QueueTimeout.as_str();
    for (run, lane) in ended {
        if let Some(lane) = lane {
            publisher.nudge(WorkQueue::Deliveries, lane.uuid());
        }
        publisher.broadcast(Broadcast::RunChanged(run));
        metrics::counter!("capi_runs_ended_total", "status" => "failed", "code" => code).increment(1);
        tracing::info!(run_id = %run, code, "run ended");
    }
}

struct Sweep {
    db: Db,
    left_out: HashMap<RunId, LeftOut>,
    /// The runs that were failed, with the lanes of their webhooks.
    ended: Vec<(RunId, Option<LaneId>)>,
}

/// A run that could not be failed.
struct LeftOut {
    until: Instant,
    pause: Duration,
}

impl Sweep {
    fn new(db: Db) -> Self {
        Self { db, left_out: HashMap::new(), ended: Vec::new() }
    }

    /// Fails the overdue runs of one page. Returns when its last run was due if there may be another page.
    async fn fail_page(&mut self, after: &str) -> Result<Option<String>, DbError> {
        let mut page = self.db.read(|mut conn| async move { overdue(&mut conn, after).await }).await?;
        let now = Instant::now();
        let is_tried = |run: &RunId| self.left_out.get(run).is_none_or(|left_out| left_out.until <= now);
        let tried: Vec<_> = page.iter().map(|run| run.id).filter(is_tried).collect();
        for set in tried.chunks(SET) {
            self.fail(set).await?;
        }
        if after == START {
            // A run that is over, or that a worker started after all, is no longer overdue.
            self.left_out.retain(|_, left_out| left_out.until + MAX_PAUSE > now);
        }
        Ok(if page.len() < PAGE { None } else { page.pop().map(|run| run.due) })
    }

    /// In one statement. If it fails, one by one.
    async fn fail(&mut self, set: &[RunId]) -> Result<(), DbError> {
        match self.db.write(|mut conn| async move { expire_set(&mut conn, set, false).await }).await {
            Ok(answers) => {
                for (run, answer) in set.iter().zip(answers) {
                    // A locked run is tried again at the next poll.
                    self.answered(*run, answer.unwrap_or(Finished::Fenced));
                }
                return Ok(());
            }
            Err(error) if error.is_away() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, runs = set.len(), "failed to end overdue runs together; one by one");
            }
        }
        for run in set {
            match self.db.write(|mut conn| async move { expire(&mut conn, *run).await }).await {
                Ok(answer) => self.answered(*run, answer),
                Err(error) if error.is_away() => return Err(error),
                Err(error) => self.leave_out(*run, &error),
            }
        }
        Ok(())
    }

    fn answered(&mut self, run: RunId, answer: Finished) {
        self.left_out.remove(&run);
        if let Finished::Done { lane, .. } = answer {
            self.ended.push((run, lane));
        }
    }

    fn leave_out(&mut self, run: RunId, error: &DbError) {
        let before = self.left_out.get(&run).map(|left_out| left_out.pause * 2);
        let pause = before.unwrap_or(FIRST_PAUSE).min(MAX_PAUSE);
        tracing::error!(%error, run_id = %run, ?pause, "failed to end an overdue run; left out for a while");
        metrics::counter!("capi_overdue_runs_left_out_total").increment(1);
        if before.is_some() || self.left_out.len() < MAX_LEFT_OUT {
            self.left_out.insert(run, LeftOut { until: Instant::now() + pause, pause });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::testing::{PlanLine, TestDatabase, plan_of};

    #[tokio::test(flavor = "multi_thread")]
    async fn the_plan_does_not_read_runs_that_are_not_overdue() {
        let database = TestDatabase::create().await;
        let explain = format!("EXPLAIN {OVERDUE}");
        let mut conn = database.conn().await;
        statement("SET enable_seqscan = off").execute(&mut conn).await.unwrap();
        let plan: Vec<PlanLine> =
            statement(explain).bind::<Text, _>(START).bind::<BigInt, _>(200).load(&mut conn).await.unwrap();
        let plan = plan_of(&plan);
        let condition =
            plan.lines().find(|line| line.contains("Index Cond")).unwrap_or_else(|| panic!("{plan}"));
        assert!(condition.contains("queue_timeout_seconds"), "{plan}");
    }

    /// Overdue runs of one account: `bad` ones, which the database refuses to change, are due before the
    /// `good` ones.
    async fn overdue_runs(database: &TestDatabase, bad: usize, good: usize) {
        for sql in [
            "INSERT INTO users (id, email, password_hash, plan) VALUES (gen_random_uuid(), 'a@x', '', 'pro')",
            "INSERT INTO user_slots SELECT id FROM users",
            "INSERT INTO apps (id, user_id, name) SELECT gen_random_uuid(), id, 'a' FROM users",
            "INSERT INTO app_versions (id, app_id, version, definition)
             SELECT gen_random_uuid(), id, 1, '{}' FROM apps",
            &format!(
                "INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs,
                     chat_model_id, metadata, created_at, last_seq, queue_timeout_seconds)
                 SELECT capi_uuid_v7(capi_now()), a.user_id, a.id, v.id, 'api', 'pending',
                     CASE WHEN n <= {bad} THEN 'bad' ELSE 'good' END, '{{}}', 'm', '{{}}',
                     capi_now() - interval '1 h' + n / 2 * interval '1 ms', 1, 1
                 FROM generate_series(1, {}) AS n, apps a JOIN app_versions v ON v.app_id = a.id",
                bad + good
            ),
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'refused'; END $$",
            "CREATE TRIGGER refused BEFORE UPDATE ON runs FOR EACH ROW WHEN (OLD.title = 'bad')
             EXECUTE FUNCTION refuse()",
        ] {
            database.run_sql(sql.to_owned()).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_that_cannot_be_failed_do_not_stop_those_behind_them() {
        let database = TestDatabase::create().await;
        let (bad, good) = (PAGE + SET + 3, SET);
        overdue_runs(&database, bad, good).await;
        let mut sweep = Sweep::new(database.db.clone());
        let mut after = START.to_owned();
        while let Some(next) = sweep.fail_page(&after).await.unwrap() {
            after = next;
        }
        assert_eq!(database.run_sql("SELECT 1 FROM runs WHERE status = 'failed'").await, good);
        assert_eq!((sweep.ended.len(), sweep.left_out.len()), (good, bad));
        // They are left out for a time that grows.
        sweep.fail_page(START).await.unwrap();
        assert!(sweep.left_out.values().all(|left_out| left_out.pause == FIRST_PAUSE));
        for left_out in sweep.left_out.values_mut() {
            left_out.until = Instant::now();
        }
        sweep.fail_page(START).await.unwrap();
        let paused = sweep.left_out.values().filter(|left_out| left_out.pause == 2 * FIRST_PAUSE).count();
        assert!((PAGE..bad).contains(&paused), "of the first page: {paused}");
    }
}
