//! A lane whose host does not work is closed for a growing time, and probed with one request.

use std::time::Duration;

use shared::ids::LaneId;
use shared::testing::{Ending, RawServer, TcpProxy, WebhookReceiver, eventually};
use webhook_dispatcher::claims::{LANE_SHARE, claim};
use webhook_dispatcher::shares::Offer;

use crate::fixture::Fixture;

/// Longer than the first pause of a closed lane, with its jitter.
const FIRST_PAUSE: Duration = Duration::from_secs(40);
const ATTEMPTS: &str = "SELECT count(*)::text AS text FROM webhook_attempts";

/// Waits until the lane has this number of failures in a row.
async fn failures(fixture: &Fixture, lane: LaneId, expected: &str) {
    let sql =
        format!("SELECT coalesce(failures::text, 'none') AS text FROM webhook_lanes WHERE id = '{lane}'");
    eventually(expected, async || (fixture.text(sql.clone()).await == expected).then_some(())).await;
}

async fn is_closed(fixture: &Fixture) -> bool {
    fixture.text("SELECT (closed_until > capi_now())::text AS text FROM webhook_lanes").await == "true"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_host_is_probed_once_a_pause_and_opened_by_one_answer() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let proxy = TcpProxy::start(receiver.url()["http://".len()..].replace("/hook", "")).await;
    proxy.cut();
    let url = format!("http://{}/hook", proxy.address);
    let _dispatcher = fixture.start().await;
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(fixture.deliver_to(&url).await);
    }
    let lane = runs[0].1;
    failures(&fixture, lane, "3").await;
    assert!(is_closed(&fixture).await);
    assert_eq!(fixture.text(ATTEMPTS).await, "3", "one at a time");
    assert!(fixture.claim(lane).await.is_none());
    let unsent = "SELECT (count(*) FILTER (WHERE attempt = 0 AND status = 'pending'))::text AS text
                  FROM webhook_deliveries";
    assert_eq!(fixture.text(unsent).await, "5", "what was not sent is no attempt");
    let next =
        "SELECT bool_and(webhook_next_attempt_v1(lane_id, next_attempt_at, false) >= closed_until)::text
                           AS text
                FROM webhook_deliveries d JOIN webhook_lanes l ON l.id = d.lane_id";
    assert_eq!(fixture.text(next).await, "true", "nothing is attempted before the lane opens");

    fixture.let_pass(FIRST_PAUSE).await;
    failures(&fixture, lane, "4").await;
    assert!(is_closed(&fixture).await);
    assert_eq!(fixture.text(ATTEMPTS).await, "4", "one probe");
    proxy.mend();
    // The second pause lasts a minute.
    fixture.let_pass(FIRST_PAUSE + Duration::from_secs(100)).await;
    failures(&fixture, lane, "0").await;
    for (run, _) in &runs {
        fixture.attempts_when(*run, "delivered").await;
    }
    assert_eq!(receiver.received().len(), runs.len());
    let open = "SELECT (closed_until IS NULL AND last_error IS NULL)::text AS text FROM webhook_lanes";
    assert_eq!(fixture.text(open).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_any_status_close_no_lane() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([500, 503, 404, 429, 302]).await;
    let _dispatcher = fixture.start().await;
    let mut lane = None;
    for _ in 0..5 {
        lane = Some(fixture.deliver_to(&receiver.url()).await.1);
    }
    let tried = "5";
    eventually("all are tried", async || (fixture.text(ATTEMPTS).await == tried).then_some(())).await;
    failures(&fixture, lane.unwrap(), "0").await;
}

/// The time of a delivery ends although its lane is closed, and it says why.
#[tokio::test(flavor = "multi_thread")]
async fn three_days_end_a_delivery_behind_a_closed_lane() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    fixture.let_pass(Duration::from_hours(71)).await;
    let (later, _) = fixture.deliver_to(&receiver.url()).await;
    fixture.let_pass(Duration::from_hours(72)).await;
    let close = "UPDATE webhook_lanes SET failures = 9, last_error = 'connect_refused',
                        closed_until = capi_now() + interval '10 min'";
    fixture.database.run_sql(close).await;
    let _dispatcher = fixture.start().await;
    let attempts = fixture.attempts_when(run, "failed").await;
    assert_eq!((attempts.len(), attempts[0].status_code), (1, None));
    assert!(attempts[0].error.contains("did not work (connect_refused)"), "{attempts:?}");
    assert_eq!(fixture.status(later).await, "pending", "its time is not over");
    assert!(receiver.received().is_empty());
}

/// What a person sends again is not held back. It also probes the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_sent_again_passes_a_closed_lane() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([500]).await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let (waiting, lane) = fixture.deliver_to(&receiver.url()).await;
    let close = "UPDATE webhook_lanes SET failures = 9, closed_until = capi_now() + interval '10 min'";
    fixture.database.run_sql(close).await;
    let again = format!(
        "UPDATE webhook_deliveries SET next_attempt_at = 'infinity', due_at = capi_now(), attempt = 4,
                earlier_attempts = 4, scheduled_at = capi_now() WHERE run_id = '{run}'"
    );
    fixture.database.run_sql(again).await;
    let swept = "SELECT cardinality(lanes)::text AS text
                 FROM webhook_lanes_due_v2('00000000-0000-0000-0000-000000000000', 10, 10, 10, '30 s')";
    assert_eq!(fixture.text(swept).await, "1", "also if its nudge is lost");
    let claimed = fixture.claim(lane).await.unwrap();
    assert_eq!((claimed.run_id, claimed.attempt), (Some(run), 5));
    assert!(fixture.claim(lane).await.is_none(), "one at a time");
    let back = "UPDATE webhook_deliveries SET lease_owner = NULL, lease_expires_at = NULL, attempt = 4
                WHERE lease_owner IS NOT NULL";
    fixture.database.run_sql(back).await;
    let _dispatcher = fixture.start().await;
    fixture.nudge(lane).await;
    failures(&fixture, lane, "0").await;
    fixture.attempts_when(waiting, "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_has_one_request_until_its_host_answers_and_its_share_then() {
    const DUE: usize = 20;
    let fixture = Fixture::create().await;
    let mut lane = None;
    for _ in 0..DUE {
        lane = Some(fixture.deliver_to("http://127.0.0.1:8080/hangs").await.1);
    }
    let lane = lane.unwrap();
    let claims_of = async |places: usize, answering: Option<Vec<LaneId>>| {
        let offer = Offer { answering, ..Offer::everything() };
        let mut conn = fixture.database.conn().await;
        let claims = claim(&mut conn, "d", &[lane], &offer, places, true).await.unwrap();
        let back = "UPDATE webhook_deliveries SET lease_owner = NULL, lease_expires_at = NULL";
        fixture.database.run_sql(back).await;
        (claims.claimed.len(), !claims.more.is_empty())
    };
    let claims = async |places: usize| claims_of(places, None).await;
    let share = usize::try_from(LANE_SHARE).unwrap();
    assert_eq!(claims(DUE).await, (1, false));
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    assert_eq!(claims(DUE).await, (share, false));
    assert_eq!(claims_of(DUE, Some(vec![lane])).await, (share, false));
    assert_eq!(claims_of(DUE, Some(vec![])).await, (4, false), "no answer of its host lately");
    assert_eq!(claims(3).await, (3, true), "with fewer places it says that there is more");
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 1").await;
    assert_eq!(claims(DUE).await, (1, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_of_broken_receivers_close_nothing_and_do_not_wait_for_each_other() {
    let fixture = Fixture::create().await;
    let silent = RawServer::ending(vec![], Duration::ZERO, Ending::Hold).await;
    for _ in 0..4 {
        fixture.ping(&silent.url("http"), "0 s").await;
    }
    let lane: LaneId = fixture.text("SELECT id::text AS text FROM webhook_lanes").await.parse().unwrap();
    let held = |permits, user, held, doubtful| Offer {
        permits,
        users: vec![user],
        held: vec![held],
        doubtful: vec![doubtful],
        answering: None,
        wide: 12,
    };
    let none_doubtful = held(8, uuid::Uuid::now_v7(), 6, 6);
    assert!(fixture.claim_of(lane, &none_doubtful).await.is_none(), "a quarter is left");
    let full = held(100, fixture.user.uuid(), 60, 60);
    for _ in 0..4 {
        assert!(fixture.claim_of(lane, &full).await.is_some());
    }
    let back = "UPDATE webhook_deliveries SET attempt = 0, lease_owner = NULL, lease_expires_at = NULL";
    fixture.database.run_sql(back).await;
    let _dispatcher = fixture.start_with(|config| config.total_timeout = Duration::from_secs(2)).await;
    fixture.nudge(lane).await;
    let failed = "SELECT (count(*) FILTER (WHERE status = 'failed'))::text AS text FROM webhook_deliveries";
    eventually("all fail", async || (fixture.text(failed).await == "4").then_some(())).await;
    let unchanged = "SELECT (failures IS NULL AND closed_until IS NULL)::text AS text FROM webhook_lanes";
    assert_eq!(fixture.text(unchanged).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_leaves_out_users_and_doubtful_lanes() {
    let fixture = Fixture::create().await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/hangs").await;
    let user = fixture.user.uuid();
    let held = |user, held, doubtful| Offer {
        permits: 64,
        users: vec![user],
        held: vec![held],
        doubtful: vec![doubtful],
        answering: None,
        wide: 12,
    };
    let full = held(user, 32, 0);
    let doubtful_full = held(user, 13, 13);
    let none_doubtful = held(uuid::Uuid::now_v7(), 48, 48);
    for offer in [&full, &doubtful_full, &none_doubtful] {
        assert!(fixture.claim_of(lane, offer).await.is_none(), "{offer:?}");
    }
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    assert!(fixture.claim_of(lane, &full).await.is_none());
    assert!(fixture.claim_of(lane, &doubtful_full).await.is_some(), "the host works");
}

/// The sweep looks at a few lanes, then goes on. A lane that works has a rank of its own beside hanging ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_goes_on_where_the_former_one_ended_and_takes_lanes_that_work() {
    const LANES: usize = 7;
    const WALK: usize = 3;
    let fixture = Fixture::create().await;
    for number in 0..LANES {
        fixture.deliver_to(&format!("http://h{number}.localhost:8080/")).await;
    }
    let due = async |after: &str, walk: usize, each: usize| {
        let sql = format!(
            "SELECT cardinality(lanes) || ' ' || coalesce(walked_to::text, 'end') AS text
             FROM webhook_lanes_due_v2('{after}', {walk}, 100, {each}, '30 s')"
        );
        let text = fixture.text(sql).await;
        let (found, walked_to) = text.split_once(' ').unwrap();
        (found.parse::<usize>().unwrap(), walked_to.to_owned())
    };
    let start = uuid::Uuid::nil().to_string();
    let (mut all, mut after, mut sweeps) = (0, start.clone(), 0);
    while after != "end" {
        let (found, walked_to) = due(&after, WALK, 100).await;
        assert!(found <= WALK, "{found}");
        (all, after, sweeps) = (all + found, walked_to, sweeps + 1);
    }
    assert_eq!((all, sweeps), (LANES, LANES.div_ceil(WALK)));
    assert_eq!(due(&start, 100, 1).await.0, 1, "one doubtful lane of the user");
    let works = "UPDATE webhook_lanes SET failures = 0 WHERE host LIKE 'h3.%'";
    fixture.database.run_sql(works).await;
    assert_eq!(due(&start, 100, 1).await.0, 2, "and one that works");
}

/// One account has many receivers that hang, and one that works.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_receivers_leave_permits_for_one_that_works() {
    const HANGING: usize = 30;
    const PERMITS: usize = 16;
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture.start_with(|config| config.concurrency = PERMITS).await;
    let (first, _) = fixture.deliver_to(&receiver.url()).await;
    fixture.attempts_when(first, "delivered").await;
    let silent = RawServer::ending(vec![], Duration::ZERO, Ending::Hold).await;
    for number in 0..HANGING {
        fixture.deliver_to(&format!("http://h{number}.localhost:{}/", silent.port())).await;
    }
    eventually("requests hang", async || (silent.connections() > 0).then_some(())).await;
    for _ in 0..20 {
        let (run, _) = fixture.deliver_to(&receiver.url()).await;
        fixture.attempts_when(run, "delivered").await;
    }
    let hanging = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE lease_owner IS NOT NULL";
    let hanging: usize = fixture.text(hanging).await.parse().unwrap();
    assert!(hanging > 0 && hanging <= PERMITS / 2, "{hanging} requests hang");
}
