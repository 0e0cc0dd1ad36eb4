//! Steps and ends of many runs in one statement.

mod answers;
mod locks;

use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use run_worker::leases::store::{Claimed, Wanted, claim};
use shared::config::Quotas;
use shared::db::statement;
use shared::ids::UserId;
use shared::runs::{End, RunEnd, RunResult};
use shared::testing::TestDatabase;
use uuid::Uuid;

use crate::claimant;

/// Claims so many runs of the user.
pub(crate) async fn claim_all(database: &TestDatabase, user: UserId, count: u32) -> Vec<Claimed> {
    let (wanted, by) = ([Wanted { user, count }], claimant("w", 1000));
    let mut conn = database.conn().await;
    claim(&mut conn, &by, Uuid::now_v7(), &wanted, count, true).await.unwrap().runs
}

fn completed(run: &Claimed) -> Arc<End> {
    Arc::new(End {
        fence: run.fence(),
        after: run.last_seq,
        last_events: Vec::new(),
        end: RunEnd::Completed(RunResult::default()),
        quotas: Quotas::default(),
    })
}

#[derive(QueryableByName)]
struct Wrong {
    #[diesel(sql_type = Text)]
    wrong: String,
}

/// Runs with gaps in the log, without exactly one end, or without the right delivery; and slots that count
/// wrongly.
const WRONG: &str = "
SELECT concat_ws(' ', r.id, r.status, r.last_seq, l.events, l.ends, d.id) AS wrong
FROM runs r LEFT JOIN webhook_deliveries d ON d.run_id = r.id
LEFT JOIN LATERAL (
    SELECT count(*) AS events, max(e.seq) AS last,
        count(*) FILTER (WHERE e.type IN ('run.completed', 'run.failed', 'run.cancelled')) AS ends
    FROM run_events e WHERE e.run_id = r.id) l ON true
WHERE l.events <> r.last_seq OR l.last <> r.last_seq OR l.ends <> (r.completed_at IS NOT NULL)::integer
    OR (r.completed_at IS NOT NULL) <> (d.id IS NOT NULL)
    OR d.id <> webhook_id_v1(r.id, 'run.' || r.status, NULL) OR r.holds_place <> (r.status = 'running')
UNION ALL
SELECT concat_ws(' ', 'user', s.user_id, s.running) FROM user_slots s
WHERE s.running <> (SELECT count(*) FROM runs r WHERE r.user_id = s.user_id AND r.status = 'running')";

async fn check_rows(database: &TestDatabase) {
    let rows: Vec<Wrong> = statement(WRONG).load(&mut database.conn().await).await.unwrap();
    let wrong: Vec<_> = rows.iter().map(|row| &row.wrong).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
