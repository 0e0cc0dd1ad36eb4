//! How a claim divides the permits of a dispatcher among users, within one set and over many.

use std::collections::HashMap;

use diesel::QueryableByName;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use shared::db::statement;
use shared::ids::LaneId;
use webhook_dispatcher::claims::{Claims, claim};
use webhook_dispatcher::shares::{NARROW_SHARE, Offer};

use crate::fixture::Fixture;

const PERMITS: usize = 64;
/// Lanes of each user. Each has a due delivery.
const LANES: usize = 64;

#[derive(QueryableByName)]
struct Lane {
    #[diesel(sql_type = SqlUuid)]
    id: LaneId,
}

/// Makes so many users with lanes of hosts that work, or of which nothing is known. Their deliveries are due
/// in turn.
async fn users(fixture: &Fixture, users: usize, doubtful: bool) -> Vec<LaneId> {
    let failures = if doubtful { "NULL" } else { "0" };
    // Without triggers: the deliveries refer to no runs.
    let sql = format!(
        "BEGIN;
         SET LOCAL session_replication_role = replica;
         DELETE FROM webhook_deliveries; DELETE FROM webhook_lanes; DELETE FROM users;
         INSERT INTO users (id, email, password_hash, plan)
         SELECT gen_random_uuid(), n || '@x', '', 'pro' FROM generate_series(1, {users}) n;
         INSERT INTO webhook_lanes (id, user_id, host, failures)
         SELECT gen_random_uuid(), id, n, {failures} FROM users, generate_series(1, {LANES}) n;
         INSERT INTO webhook_deliveries
             (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
         SELECT gen_random_uuid(), id, user_id, gen_random_uuid(), 'run.completed', 'http://h/', 'pending',
                capi_now() - interval '1 hour' + host::integer * interval '1 s', capi_now()
         FROM webhook_lanes;
         COMMIT"
    );
    let mut conn = fixture.database.conn().await;
    conn.batch_execute(&sql).await.unwrap();
    let sql = "SELECT id FROM webhook_lanes ORDER BY host::integer, user_id";
    let lanes: Vec<Lane> = statement(sql).load(&mut conn).await.unwrap();
    lanes.into_iter().map(|lane| lane.id).collect()
}

/// The numbers of deliveries that each user got, sorted, and the permits that stay free.
async fn divided(fixture: &Fixture, lanes: &[LaneId], set: usize) -> (Vec<usize>, usize) {
    let mut offer = Offer::free(i32::try_from(PERMITS).unwrap());
    let mut conn = fixture.database.conn().await;
    let mut of_lanes = HashMap::<_, usize>::new();
    for set in lanes.chunks(set) {
        let free = PERMITS - usize::try_from(offer.held.iter().sum::<i32>()).unwrap();
        let claiming = claim(&mut conn, "d", set, &offer, free, true);
        let Claims { claimed, .. } = claiming.await.unwrap();
        for claimed in claimed {
            let known = offer.users.iter().position(|user| *user == claimed.user_id.uuid());
            let place = known.unwrap_or_else(|| {
                offer.users.push(claimed.user_id.uuid());
                offer.held.push(0);
                offer.doubtful.push(0);
                offer.users.len() - 1
            });
            offer.held[place] += 1;
            offer.doubtful[place] += i32::from(claimed.is_doubtful());
            let of_lane = of_lanes.entry(claimed.lane_id).or_default();
            *of_lane += 1;
            offer.wide -= i32::from(!claimed.is_doubtful() && *of_lane > NARROW_SHARE);
        }
    }
    let mut counts: Vec<_> = offer.held.iter().map(|held| usize::try_from(*held).unwrap()).collect();
    counts.sort_unstable();
    let free = PERMITS - counts.iter().sum::<usize>();
    (counts, free)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_takes_half_and_many_share() {
    let fixture = Fixture::create().await;
    // One lane after another, or all in one set: the rules are the same.
    for set in [1, 10_000] {
        let lanes = users(&fixture, 1, false).await;
        assert_eq!(divided(&fixture, &lanes, set).await, (vec![32], 32), "sets of {set}");
        let lanes = users(&fixture, 3, false).await;
        assert_eq!(divided(&fixture, &lanes, set).await, (vec![16; 3], 16), "sets of {set}");
    }
    let lanes = users(&fixture, 20, false).await;
    let (counts, free) = divided(&fixture, &lanes, 10_000).await;
    assert!(counts.iter().all(|count| (3..=4).contains(count)) && free >= 3, "{counts:?} {free}");
    let lanes = users(&fixture, 64, false).await;
    assert_eq!(divided(&fixture, &lanes, 10_000).await.0, vec![1; 64], "each may hold one");
}

/// Hosts that worked before may all begin to hang at once.
#[tokio::test(flavor = "multi_thread")]
async fn busy_lanes_of_many_users_leave_permits_for_others() {
    const USERS: usize = 10;
    let fixture = Fixture::create().await;
    for set in [1, 10_000] {
        users(&fixture, USERS, false).await;
        // Each user's deliveries are in one lane.
        let sql = "UPDATE webhook_deliveries d SET lane_id = l.id
                   FROM webhook_lanes l WHERE l.user_id = d.user_id AND l.host = '1'";
        fixture.database.run_sql(sql).await;
        let sql = "SELECT id FROM webhook_lanes WHERE host = '1' ORDER BY id";
        let found: Vec<Lane> = statement(sql).load(&mut fixture.database.conn().await).await.unwrap();
        let lanes: Vec<_> = found.into_iter().map(|lane| lane.id).collect();
        let (counts, free) = divided(&fixture, &lanes, set).await;
        assert!(free >= PERMITS / 4 - 4, "{counts:?} {free}");
        fixture
            .database
            .run_sql("UPDATE webhook_deliveries SET lease_owner = NULL, lease_expires_at = NULL")
            .await;
        let alone = divided(&fixture, &lanes[..1], set).await;
        assert_eq!(alone, (vec![16], 48), "one busy lane has its whole share");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_lanes_take_less_and_leave_a_quarter() {
    let fixture = Fixture::create().await;
    for set in [1, 10_000] {
        let lanes = users(&fixture, 1, true).await;
        assert_eq!(divided(&fixture, &lanes, set).await, (vec![13], 51), "sets of {set}");
    }
    let lanes = users(&fixture, 10, true).await;
    let (counts, free) = divided(&fixture, &lanes, 10_000).await;
    assert!(counts.iter().all(|count| (4..=5).contains(count)) && free >= 16, "{counts:?} {free}");
    let lanes = users(&fixture, 100, true).await;
    assert!(divided(&fixture, &lanes, 10_000).await.1 >= PERMITS / 4);
}
