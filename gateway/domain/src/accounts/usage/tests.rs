use std::time::Duration;

use shared::testing::TestDatabase;

use super::*;

/// An account with this many runs of the last 40 days at random times, most of them over.
async fn account(database: &TestDatabase, runs: u32) -> UserId {
    let user = UserId::generate();
    let make = "
        WITH u AS (
            INSERT INTO users (id, email, password_hash, plan) VALUES ($1, $1 || '@x', '', 'pro') RETURNING id
        ), a AS (
            INSERT INTO apps (id, user_id, name) SELECT gen_random_uuid(), id, 'a' FROM u RETURNING id
        )
        INSERT INTO app_versions (id, app_id, version, definition)
        SELECT gen_random_uuid(), id, 1, '{}' FROM a";
    let mut conn = database.conn().await;
    statement(make).bind::<SqlUuid, _>(user.uuid()).execute(&mut conn).await.unwrap();
    add_runs(database, user, runs, "40 days").await;
    user
}

/// Runs of this last time. A few of those of the last two days are open.
async fn add_runs(database: &TestDatabase, user: UserId, runs: u32, time: &str) {
    let sql = format!(
        "INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs, chat_model_id,
                           metadata, created_at, completed_at, last_seq, input_tokens, output_tokens)
         SELECT gen_random_uuid(), a.user_id, a.id, v.id, 'api',
                CASE WHEN open THEN 'pending' ELSE 'cancelled' END, '', '{{}}', 'm', '{{}}', at,
                CASE WHEN NOT open THEN at END, 1, (random() * 100)::bigint, (random() * 10)::bigint
         FROM apps a JOIN app_versions v ON v.app_id = a.id,
              LATERAL (SELECT at, at > capi_now() - interval '2 days' AND n % 10 = 0 AS open
                       FROM (SELECT n, capi_now() - random() * interval '{time}' AS at
                             FROM generate_series(1, {runs}) n) times) run
         WHERE a.user_id = '{user}'"
    );
    database.run_sql(sql).await;
}

/// The page's numbers must be those of the runs that exist.
async fn counted_directly(database: &TestDatabase, user: UserId) -> Vec<Day> {
    const DIRECT: &str = "
        SELECT d.day::date AS day, count(r.id) AS runs,
               coalesce(sum(r.input_tokens + r.output_tokens), 0)::bigint AS tokens
        FROM (SELECT (capi_now() AT TIME ZONE 'UTC')::date AS day) today,
             LATERAL generate_series(today.day - 29, today.day, interval '1 day') d (day)
        LEFT JOIN runs r ON r.user_id = $1 AND (r.created_at AT TIME ZONE 'UTC')::date = d.day::date
        GROUP BY 1 ORDER BY 1";
    let direct = statement(DIRECT).bind::<SqlUuid, _>(user.uuid());
    direct.load(&mut database.conn().await).await.unwrap()
}

async fn sums(database: &TestDatabase, user: UserId) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        runs: i64,
    }
    let sql = "SELECT coalesce(sum(runs), 0)::bigint AS runs FROM usage_days WHERE user_id = $1";
    let summing = statement(sql).bind::<SqlUuid, _>(user.uuid());
    let row: Row = summing.get_result(&mut database.conn().await).await.unwrap();
    row.runs
}

#[tokio::test(flavor = "multi_thread")]
async fn the_days_are_those_of_the_runs_that_exist() {
    let database = TestDatabase::create().await;
    let (user, other) = (account(&database, 3000).await, account(&database, 100).await);
    let direct = counted_directly(&database, user).await;
    assert_eq!(days(&database.db, user).await.unwrap(), direct);
    let summed = sums(&database, user).await;
    assert!(summed > 1000, "most are in the sums: {summed}");
    assert_eq!(sums(&database, other).await, 0, "of another account nothing is");

    let delete = "DELETE FROM runs WHERE id IN (SELECT id FROM runs ORDER BY random() LIMIT 1000)";
    database.run_sql(delete).await;
    // Runs appear only at the end: no create commits an hour late.
    add_runs(&database, user, 200, "50 minutes").await;
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
    let end = "UPDATE runs SET status = 'cancelled', completed_at = capi_now(), input_tokens = 7
               WHERE completed_at IS NULL";
    database.run_sql(end).await;
    for account in [user, other] {
        assert_eq!(days(&database.db, account).await.unwrap(), counted_directly(&database, account).await);
    }

    database.set_clock_ahead(Duration::from_hours(10 * 24)).await;
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
    let runs: i64 = counted_directly(&database, user).await.iter().map(|day| day.runs).sum();
    assert_eq!(sums(&database, user).await, runs, "all are in the sums, and none of earlier days");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_and_sums_at_once_lose_nothing() {
    let database = TestDatabase::create().await;
    let user = account(&database, 2000).await;
    let step = format!("SELECT add_usage_v1('{user}', 30, 7)");
    let delete = "DELETE FROM runs WHERE id IN (
                      SELECT id FROM runs ORDER BY random() LIMIT 3 FOR UPDATE SKIP LOCKED)";
    let repeated = async |sql: &str| {
        for _ in 0..150 {
            database.run_sql(sql.to_owned()).await;
        }
    };
    tokio::join!(repeated(&step), repeated(&step), repeated(delete), repeated(delete));
    let summed = sums(&database, user).await;
    assert!(summed > 0, "some are in the sums");
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_over_keeps_no_other_out_of_the_sums() {
    let database = TestDatabase::create().await;
    let user = account(&database, 500).await;
    let reopen = async |runs: u32| {
        let sql = format!(
            "UPDATE runs SET status = 'pending', completed_at = NULL
             WHERE id IN (SELECT id FROM runs ORDER BY created_at DESC LIMIT {runs})"
        );
        database.run_sql(sql).await;
    };
    let end = "UPDATE runs SET status = 'cancelled', completed_at = capi_now(), input_tokens = 7
               WHERE completed_at IS NULL";
    database.run_sql(end).await;
    reopen(90).await;
    database.set_clock_ahead(Duration::from_hours(2)).await;
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
    let behind = "SELECT 1 FROM runs r JOIN usage_cursors c ON c.user_id = r.user_id
                  WHERE (r.created_at, r.id) > (c.at, c.id)";
    assert_eq!(database.run_sql(behind).await, 0, "the cursor passed all");
    let skipped = "SELECT unnest(skipped) FROM usage_cursors";
    assert_eq!(database.run_sql(skipped).await, 90);

    let delete = "DELETE FROM runs WHERE id IN (SELECT id FROM runs ORDER BY random() LIMIT 100)";
    database.run_sql(delete).await;
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
    database.run_sql(end).await;
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
    assert_eq!(database.run_sql(skipped).await, 0, "all are in the sums");

    add_runs(&database, user, 300, "1 hour").await;
    reopen(150).await;
    database.set_clock_ahead(Duration::from_hours(4)).await;
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
    assert_eq!(database.run_sql(skipped).await, 100, "no more are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sums_begin_anew_if_the_clock_goes_back() {
    let database = TestDatabase::create().await;
    let user = account(&database, 500).await;
    let end = "UPDATE runs SET status = 'cancelled', completed_at = capi_now() WHERE completed_at IS NULL";
    database.run_sql(end).await;
    let ahead = "UPDATE usage_cursors SET at = capi_now() + interval '1 hour'";
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
    database.run_sql(ahead).await;
    add_runs(&database, user, 50, "30 minutes").await;
    assert_eq!(days(&database.db, user).await.unwrap(), counted_directly(&database, user).await);
    database.run_sql(ahead).await;
    database.run_sql("DELETE FROM runs").await;
    let negative = "SELECT 1 FROM usage_days WHERE runs < 0 OR tokens < 0";
    assert_eq!(database.run_sql(negative).await, 0);
    assert!(days(&database.db, user).await.unwrap().iter().all(|day| day.runs == 0 && day.tokens == 0));
}
