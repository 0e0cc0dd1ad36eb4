//! Workers of the former version. They know no claim ids and count no places.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Interval, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{interval, statement};
use shared::ids::{RunId, UserId};
use shared::runs::Fence;
use shared::testing::TestDatabase;
use uuid::Uuid;

use super::carry_out::by;
use super::{Did, Held, Memory};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
}

pub(super) async fn claim(database: &TestDatabase, memory: &mut Memory, worker: usize, user: UserId) -> Did {
    let claiming = database.db.write(|mut conn| async move {
        let terms = by(worker);
        let sql = "SELECT id, attempt, last_seq FROM claim_run_v1($1, $2, $3, $4, $5)";
        Ok(statement(sql)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Text, _>(&terms.worker)
            .bind::<Interval, _>(interval(terms.lease))
            .bind::<Jsonb, _>(&terms.caps)
            .bind::<Integer, _>(terms.smallest_cap)
            .load::<Row>(&mut conn)
            .await?)
    });
    let rows = claiming.await.unwrap();
    let held = rows.iter().map(|row| Held {
        fence: Fence { run: row.id, attempt: row.attempt, claim: Uuid::nil() },
        last_seq: row.last_seq,
    });
    memory.splice(0..0, held);
    Did::Claimed(rows.iter().map(|row| (row.id, row.attempt, row.last_seq)).collect(), Vec::new())
}

const FINISH: &str = "
WITH done AS (
    UPDATE runs
    SET status = 'completed', completed_at = capi_now(), last_seq = last_seq + 1, result = '{}',
        lease_owner = NULL, lease_expires_at = NULL, losses = 0
    WHERE id = $1 AND attempt = $2 AND status = 'running'
    RETURNING id, user_id, attempt, last_seq, completed_at, webhook_url, webhook_host
), logged AS (
    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT id, last_seq, 'run.completed', completed_at, attempt, '{}' FROM done
), lane AS (
    INSERT INTO webhook_lanes (id, user_id, host)
    SELECT gen_random_uuid(), user_id, webhook_host FROM done
    ON CONFLICT (user_id, host) DO UPDATE SET host = EXCLUDED.host
    RETURNING id
)
INSERT INTO webhook_deliveries (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
SELECT gen_random_uuid(), lane.id, d.user_id, d.id, 'run.completed', d.webhook_url, 'pending', d.completed_at,
    d.completed_at
FROM done d, lane";

/// Returns whether the run was ended.
pub(super) async fn finish(database: &TestDatabase, fence: Fence) -> bool {
    let finishing = database.db.write(|mut conn| async move {
        Ok(statement(FINISH)
            .bind::<SqlUuid, _>(fence.run.uuid())
            .bind::<Integer, _>(fence.attempt)
            .execute(&mut conn)
            .await?)
    });
    finishing.await.unwrap() == 1
}
