use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::config::DatabaseConfig;
use crate::db::{Db, statement};
use crate::testing::{TestDatabase, eventually, eventually_within};

const POOL: usize = 5;
const PATIENCE: Duration = Duration::from_millis(300);

/// A commit of a row of `t` hangs while another session holds the lock. As with a standby that is away,
/// `statement_timeout` does not cover it.
const HANGING: [&str; 3] = [
    "CREATE TABLE t (n integer)",
    "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0
     AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER hanging AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
     FOR EACH ROW EXECUTE FUNCTION hang()",
];

async fn insert(db: &Db) -> Result<usize, DbError> {
    db.write(|mut conn| async move { Ok(statement("INSERT INTO t VALUES (1)").execute(&mut conn).await?) })
        .await
}

async fn count(database: &TestDatabase, sql: &'static str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let row: Row = statement(sql).get_result(&mut database.conn().await).await.unwrap();
    row.count
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_commits_keep_their_connections_and_further_writes_fail_at_once() {
    const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity
                            WHERE datname = current_database() AND application_name = 'capi-test-hanging'";
    let database = TestDatabase::create_empty().await;
    for sql in HANGING {
        database.run_sql(sql).await;
    }
    let config = DatabaseConfig { url: database.url.clone().into(), pool_size: POOL };
    let db = Db::with_wait(&config, "capi-test-hanging", Duration::from_secs(10)).unwrap();
    let db = db.with_patience(PATIENCE);
    let mut holder = database.conn().await;
    statement("SELECT pg_advisory_lock(1)").execute(&mut holder).await.unwrap();

    let hanging = futures_util::future::join_all((0..MOST_OVERDUE).map(|_| insert(&db))).await;
    for answer in hanging {
        let error = answer.unwrap_err();
        assert!(error.is_away() && !error.was_not_sent(), "it may be committed: {error}");
    }
    eventually("they are overdue", async || {
        (AtomicUsize::load(&db.in_doubt.overdue, Ordering::Relaxed) == MOST_OVERDUE).then_some(())
    })
    .await;
    // As with a standby that is away, the probe is not answered.
    let probe = db.in_doubt.probe().unwrap();
    for _ in 0..20 {
        let error = insert(&db).await.unwrap_err();
        assert!(error.is_away() && error.was_not_sent() && !error.is_busy(), "{error}");
    }
    assert!(db.ping().await.is_err(), "one probe is enough");
    let patient = db.patient();
    let reading = patient.read(|mut conn| async move { Ok(statement("SELECT 1").execute(&mut conn).await?) });
    assert_eq!(reading.await.unwrap(), 1, "reads go on");
    let sessions = count(&database, SESSIONS).await;
    assert!(sessions <= i64::try_from(MOST_OVERDUE + 1).unwrap(), "none takes their places: {sessions}");

    statement("SELECT pg_advisory_unlock(1)").execute(&mut holder).await.unwrap();
    drop(probe);
    eventually("writes are sent again", async || insert(&db).await.ok()).await;
    eventually("nothing is in doubt", async || (!db.in_doubt.is_any()).then_some(())).await;
    let rows = count(&database, "SELECT count(*) FROM t").await;
    assert!(rows >= 4, "the writes in doubt were committed: {rows}");
    let all = (0..POOL).map(|_| db.get());
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok), "each place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_full_of_writes_in_doubt_is_no_busy_pool() {
    let database = TestDatabase::create_empty().await;
    for sql in HANGING {
        database.run_sql(sql).await;
    }
    let config = DatabaseConfig { url: database.url.clone().into(), pool_size: 1 };
    let db = Db::with_wait(&config, "capi-test-hanging", Duration::from_secs(3)).unwrap();
    let mut holder = database.conn().await;
    statement("SELECT pg_advisory_lock(1)").execute(&mut holder).await.unwrap();
    assert!(matches!(insert(&db.with_patience(PATIENCE)).await, Err(DbError::Timeout)));
    let reading = db.read(|mut conn| async move { Ok(statement("SELECT 1").execute(&mut conn).await?) });
    let error = reading.await.unwrap_err();
    assert!(error.is_away() && error.was_not_sent() && !error.is_busy(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_on_a_new_connection_lets_writes_through_again() {
    let database = TestDatabase::create_empty().await;
    for sql in HANGING.into_iter().chain(["CREATE TABLE u (n integer)"]) {
        database.run_sql(sql).await;
    }
    let config = DatabaseConfig { url: database.url.clone().into(), pool_size: POOL };
    let db = Db::with_wait(&config, "capi-test-hanging", Duration::from_secs(10)).unwrap();
    let db = db.with_patience(PATIENCE);
    let mut holder = database.conn().await;
    statement("SELECT pg_advisory_lock(1)").execute(&mut holder).await.unwrap();
    futures_util::future::join_all((0..POOL - 1).map(|_| insert(&db))).await;
    eventually("writes are refused", async || db.in_doubt.is_refusing().then_some(())).await;
    // The first statement of a new connection may take longer than `PATIENCE`.
    let patient = db.with_patience(Duration::from_secs(3));
    let write = async || {
        let writing = patient.write(|mut conn| async move {
            Ok(statement("INSERT INTO u VALUES (1)").execute(&mut conn).await?)
        });
        writing.await.ok()
    };
    // The first of them is refused and sends the probe. The others hang still: they give up much later.
    eventually_within(Duration::from_secs(8), "writes are sent again", write).await;
    eventually_within(Duration::from_secs(2), "only the others are in doubt", async || {
        (AtomicUsize::load(&db.in_doubt.waiting, Ordering::Relaxed) == POOL - 1).then_some(())
    })
    .await;
    assert!(!db.in_doubt.is_refusing() && db.ping().await.is_ok());
    statement("SELECT pg_advisory_unlock(1)").execute(&mut holder).await.unwrap();
}

#[test]
fn an_answered_commit_says_something_about_earlier_writes_only() {
    let (second, sent) = (Duration::from_secs(1), Instant::now());
    let mut giving_up = GivingUp::new();
    giving_up.committed(sent + second);
    assert!(giving_up.has_committed_since(sent));
    assert!(!giving_up.has_committed_since(sent + second));
    giving_up.end();
    assert!(giving_up.has_committed_since(sent), "also when no write is in doubt meanwhile");
}

#[test]
fn one_connection_at_a_time_gives_up_unless_a_later_commit_was_answered() {
    let (second, sent) = (Duration::from_secs(1), Instant::now());
    let mut giving_up = GivingUp::new();
    assert!(!giving_up.is_due(sent, sent + second * 14));
    assert!(giving_up.is_due(sent, sent + second * 15));
    assert!(!giving_up.is_due(sent, sent + second * 29), "the next one waits for a pause");
    assert!(giving_up.is_due(sent, sent + second * 30));
    assert!(!giving_up.is_due(sent, sent + second * 59), "the pauses double");
    assert!(giving_up.is_due(sent, sent + second * 60));
    let an_hour = (60..3660).filter(|n| giving_up.is_due(sent, sent + second * *n)).count();
    assert!((7..=10).contains(&an_hour), "{an_hour}");

    giving_up.committed(sent + second * 10);
    assert!(giving_up.is_due(sent, sent + second * 4000));
    assert!(!giving_up.is_due(sent, sent + second * 4001), "that commit was sent a short time later");
    giving_up.committed(sent + second * 15);
    assert!(giving_up.is_due(sent, sent + second * 4001) && giving_up.is_due(sent, sent + second * 4001));
    giving_up.committed(sent);
    assert!(giving_up.is_due(sent, sent + second * 4002), "answers may come out of order");
}
