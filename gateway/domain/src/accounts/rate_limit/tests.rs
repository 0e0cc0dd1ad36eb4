//! Sets of admissions against a model of the window, on a clock that the tests set.

use diesel_async::SimpleAsyncConnection;
use serde_json::json;
use shared::testing::TestDatabase;

use super::*;

const MINUTE: u64 = 60_000;
/// Places of the plan whose window is exact.
const FEW: usize = 5;
/// Places of a plan whose requests are counted by second.
const MANY: usize = 400;
const NONE: u8 = 3;
const UNKNOWN: u8 = 9;

/// Users of the plans few (1), many (2) and none (3). The hash of a key repeats the number of its user.
const ACCOUNTS: &str = "
WITH wanted (n, plan) AS (VALUES (1, 'few'), (2, 'many'), (3, 'none')), u AS (
    INSERT INTO users (id, email, password_hash, plan)
    SELECT md5(n::text)::uuid, n || '@x', '', plan FROM wanted
)
INSERT INTO api_keys (id, user_id, name, sha256, display_prefix)
SELECT md5(n::text)::uuid, md5(n::text)::uuid, 'k', decode(repeat('0' || n, 32), 'hex'), 'capi_' FROM wanted";

/// What gateways of the former version execute for each request.
const FORMER: &str = "
WITH key AS (
    SELECT k.user_id, ($2 ->> u.plan)::integer AS places
    FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.sha256 = $1
)
INSERT INTO rate_windows AS w (user_id, places, stamps, admitted)
SELECT user_id, places, ARRAY[capi_now()], true FROM key WHERE places IS NOT NULL
ON CONFLICT (user_id) DO UPDATE SET places = EXCLUDED.places, (stamps, admitted) = (
    SELECT CASE WHEN cardinality(kept) < EXCLUDED.places THEN kept || at ELSE kept END,
           cardinality(kept) < EXCLUDED.places
    FROM (SELECT capi_now() AS at OFFSET 0) clock,
         LATERAL (
             SELECT ARRAY(
                 SELECT s FROM unnest(w.stamps) s WHERE s > clock.at - interval '60 s' ORDER BY s) AS kept
             OFFSET 0) pruned)
RETURNING admitted";

#[derive(QueryableByName)]
struct Admitted {
    #[diesel(sql_type = Bool)]
    admitted: bool,
}

async fn database() -> TestDatabase {
    let database = TestDatabase::create().await;
    database.run_sql(ACCOUNTS).await;
    database
}

/// Stops the clock at this many milliseconds.
async fn set_clock(database: &TestDatabase, at: u64) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION capi_now() RETURNS timestamptz LANGUAGE sql VOLATILE
         AS 'SELECT timestamptz ''2026-12-01T00:00:00Z'' + interval ''{at} ms'''"
    );
    database.run_sql(sql).await;
}

fn rates() -> Value {
    json!({"few": FEW, "many": MANY})
}

async fn admit_now(database: &TestDatabase, users: &[u8]) -> Vec<Option<Admission>> {
    let keys: Vec<_> = users.iter().map(|user| [*user; 32]).collect();
    admit(&database.db, &keys, &rates(), Duration::ZERO).await.unwrap()
}

async fn admit_formerly(database: &TestDatabase, user: u8) -> bool {
    let admitting = statement(FORMER).bind::<Binary, _>([user; 32]).bind::<Jsonb, _>(rates());
    let row: Admitted = admitting.get_result(&mut database.conn().await).await.unwrap();
    row.admitted
}

/// The requests of one user that were admitted.
struct Model {
    places: usize,
    /// How much later than after 60 s a place may become free.
    late: u64,
    admitted: Vec<u64>,
}

impl Model {
    fn within(&self, now: u64, length: u64) -> usize {
        self.admitted.iter().filter(|at| **at + length > now).count()
    }

    fn check(&mut self, now: u64, admitted: bool, about: &str) {
        if admitted {
            assert!(self.within(now, MINUTE) < self.places, "one too many in 60 s, {about}");
            self.admitted.push(now);
        } else {
            let used = self.within(now, MINUTE + self.late);
            assert!(used >= self.places, "refused with {used} of {}, {about}", self.places);
        }
    }

    fn check_window(&self, now: u64, window: &Window, about: &str) {
        assert_eq!(window.limit as usize, self.places, "{about}");
        let places = |used: usize| self.places.saturating_sub(used);
        let (fewest, most) = (places(self.within(now, MINUTE + self.late)), places(self.within(now, MINUTE)));
        assert!((fewest..=most).contains(&(window.remaining as usize)), "{window:?}, {about}");
        let oldest = self.admitted.iter().find(|at| **at + MINUTE > now).unwrap_or(&now);
        let (least, longest) = (oldest + MINUTE - now, (oldest + MINUTE + self.late - now).min(MINUTE));
        let free_in = Duration::from_secs_f64(window.free_in + 0.0005).as_millis();
        assert!((u128::from(least)..=u128::from(longest)).contains(&free_in), "{window:?}, {about}");
    }
}

/// Numbers that differ in each run of the test. The seed is in every message.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn property_the_window_never_holds_more_than_its_places_and_refuses_only_then() {
    let database = database().await;
    let seed = uuid::Uuid::now_v7().as_u64_pair().1;
    let mut dice = Dice(seed);
    let mut models = [
        Model { places: FEW, late: 0, admitted: Vec::new() },
        Model { places: MANY, late: 1000, admitted: Vec::new() },
    ];
    let mut now = 0;
    for step in 0..120 {
        now += dice.roll(5000);
        let about = format!("step {step} at {now} ms, seed {seed}");
        set_clock(&database, now).await;
        if dice.roll(4) == 0 {
            for user in [1, 2, 2, 2] {
                let admitted = admit_formerly(&database, user).await;
                models[usize::from(user) - 1].check(now, admitted, &format!("formerly, {about}"));
            }
        }
        let users: Vec<u8> = (0..=dice.roll(60))
            .map(|_| [1, 2, 2, 2, 2, 2, NONE, UNKNOWN][usize::try_from(dice.roll(8)).unwrap()])
            .collect();
        for (user, outcome) in users.iter().zip(admit_now(&database, &users).await) {
            let (admitted, window) = match (*user, outcome.unwrap()) {
                (1 | 2, Admission::Admitted { window, .. }) => (true, window),
                (1 | 2, Admission::Refused(window)) => (false, window),
                (NONE, Admission::NoPlan(_)) | (UNKNOWN, Admission::Unknown) => continue,
                (user, other) => panic!("{user}: {other:?}, {about}"),
            };
            let model = &mut models[usize::from(*user) - 1];
            model.check(now, admitted, &about);
            model.check_window(now, &window, &about);
        }
    }
    assert!(models.iter().all(|model| model.admitted.len() > model.places), "places became free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_large_plan_stays_small() {
    let database = database().await;
    let rates = json!({"many": 9000});
    let keys = [[2; 32]; 64];
    let mut admitted = 0;
    for set in 0..150 {
        set_clock(&database, set * 390).await;
        let outcomes = admit(&database.db, &keys, &rates, Duration::ZERO).await.unwrap();
        let yes = |one: &&Option<Admission>| matches!(one, Some(Admission::Admitted { .. }));
        admitted += outcomes.iter().filter(yes).count();
    }
    assert_eq!(admitted, 9000);
    let small = "SELECT 1 FROM rate_windows WHERE cardinality(ends) <= 62 AND cardinality(stamps) = 0
                     AND pg_column_size(ends) + pg_column_size(totals) < 1200";
    assert_eq!(database.run_sql(small).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_window_is_left_out_or_waited_for() {
    let database = database().await;
    admit_now(&database, &[1, 2]).await;
    let mut holder = database.conn().await;
    holder.batch_execute("BEGIN; SELECT 1 FROM rate_windows WHERE places = 5 FOR UPDATE").await.unwrap();
    let outcomes = admit_now(&database, &[1, 2, 1]).await;
    assert!(
        matches!(outcomes.as_slice(), [None, Some(Admission::Admitted { .. }), None]),
        "others are admitted: {outcomes:?}"
    );
    let waited = admit(&database.db, &[[1; 32]], &rates(), Duration::from_millis(20)).await;
    assert!(waited.is_err_and(|error| error.is_lock_timeout()));
    let (waited, ()) = tokio::join!(
        async { admit(&database.db, &[[1; 32]], &rates(), Duration::from_secs(2)).await.unwrap() },
        async { holder.batch_execute("SELECT pg_sleep(0.1); COMMIT").await.unwrap() }
    );
    assert!(matches!(waited.as_slice(), [Some(Admission::Admitted { window, .. })] if window.remaining == 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_keeps_places_for_a_minute() {
    let database = database().await;
    let remaining = async |users: &[u8]| -> Vec<u32> {
        let outcomes = admit_now(&database, users).await;
        let window = |one: Option<Admission>| match one {
            Some(Admission::Admitted { window, .. }) => window.remaining,
            Some(Admission::Refused(window)) => {
                assert!(window.free_in <= 60.0, "{window:?}");
                u32::MAX
            }
            other => panic!("{other:?}"),
        };
        outcomes.into_iter().map(window).collect()
    };
    set_clock(&database, 60 * MINUTE).await;
    assert_eq!(remaining(&[1; FEW]).await, [4, 3, 2, 1, 0]);
    assert_eq!(remaining(&[2, 2]).await, [399, 398]);
    set_clock(&database, 0).await;
    assert_eq!(remaining(&[1, 2]).await, [u32::MAX, 397], "nothing is admitted too early");
    set_clock(&database, MINUTE).await;
    assert_eq!(remaining(&[1, 2]).await, [4, 399], "nor an hour late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_becomes_smaller_counts_what_the_larger_one_admitted() {
    let database = database().await;
    let one = async |at: u64, places: usize, count: usize| {
        set_clock(&database, at).await;
        let keys = vec![[2; 32]; count];
        let outcomes = admit(&database.db, &keys, &json!({"many": places}), Duration::ZERO).await.unwrap();
        outcomes.into_iter().next_back().flatten().unwrap()
    };
    for second in 0..10 {
        assert!(matches!(one(second * 1000, MANY, 2).await, Admission::Admitted { .. }));
    }
    let Admission::Refused(window) = one(10_000, 3, 1).await else { panic!("20 of 3 places are used") };
    // The requests of second 8 must leave: then two of three places are used.
    assert_eq!((window.remaining, window.whole_seconds()), (0, 58));
    assert!(matches!(one(67_999, 3, 1).await, Admission::Refused(_)));
    assert!(matches!(one(68_000, 3, 1).await, Admission::Admitted { .. }));
    assert!(matches!(one(68_001, 3, 1).await, Admission::Refused(_)));
}
