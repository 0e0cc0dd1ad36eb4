//! The database that tests copy. Its schema is migrated once, by the first test that needs it on a server;
//! its name holds the hash of the migrations, so that builds with other migrations have a template of their
//! own.

use std::time::{Duration, Instant};

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use url::Url;

use super::WAIT_LIMIT;
use crate::db::{MigrateError, connect_once, migrate_up, statement};

const NAME: &str = concat!("capi_template_", env!("CAPI_MIGRATIONS_HASH"));
/// An arbitrary number: one process at a time makes the template.
const LOCK: &str = "SELECT pg_try_advisory_lock(4706042) AS yes";
/// A template is complete once PostgreSQL counts it as one.
const IS_COMPLETE: &str =
    "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate) AS yes";
/// Templates of other migrations; a template's comment is the time at which it was made.
const OLD: &str = r"
SELECT datname::text AS name FROM pg_database
WHERE datname LIKE 'capi\_template\_%' AND datistemplate
  AND shobj_description(oid, 'pg_database')::timestamptz < now() - interval '7 days'";

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

#[derive(QueryableByName)]
struct Old {
    #[diesel(sql_type = Text)]
    name: String,
}

/// A connection to the server's own database. Copying a database may take long on a busy machine.
pub(super) async fn connect(admin: &str) -> AsyncPgConnection {
    let deadline = Instant::now() + WAIT_LIMIT;
    let mut conn = loop {
        match connect_once(admin, "capi-test").await {
            Ok(conn) => break conn,
            Err(error) => assert!(Instant::now() < deadline, "PostgreSQL does not answer: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let limits = "SET statement_timeout = '2min'; SET lock_timeout = '2min'";
    conn.batch_execute(limits).await.expect("the limits can be set");
    conn
}

/// Repeats a migration that could not connect: a busy server may accept a connection later than one attempt
/// waits.
pub async fn migrated<T, F>(mut migrate: impl FnMut() -> F) -> Result<T, MigrateError>
where
    F: Future<Output = Result<T, MigrateError>>,
{
    let deadline = Instant::now() + WAIT_LIMIT;
    loop {
        match migrate().await {
            Err(MigrateError::Connect(_)) if Instant::now() < deadline => {}
            ended => return ended,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Makes the template if the server has none yet; its name.
pub(super) async fn ensure(conn: &mut AsyncPgConnection, admin: &Url) -> &'static str {
    if !is_complete(conn).await {
        let deadline = Instant::now() + WAIT_LIMIT;
        while !asks(conn, LOCK).await {
            assert!(Instant::now() < deadline, "another process holds the lock of the template");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if !is_complete(conn).await {
            drop_old(conn).await;
            make(conn, admin).await;
        }
        statement("SELECT pg_advisory_unlock(4706042)").execute(conn).await.expect("the lock is released");
    }
    NAME
}

async fn is_complete(conn: &mut AsyncPgConnection) -> bool {
    let answer: Answer =
        statement(IS_COMPLETE).bind::<Text, _>(NAME).get_result(conn).await.expect("the statement runs");
    answer.yes
}

async fn asks(conn: &mut AsyncPgConnection, sql: &'static str) -> bool {
    let answer: Answer = statement(sql).get_result(conn).await.expect("the statement runs");
    answer.yes
}

async fn make(conn: &mut AsyncPgConnection, admin: &Url) {
    // An incomplete one is what a killed test left.
    run(conn, &format!("DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")).await;
    run(conn, &format!("CREATE DATABASE {NAME}")).await;
    let mut url = admin.clone();
    url.set_path(NAME);
    migrated(|| migrate_up(url.as_str())).await.expect("the migrations run");
    run(conn, &format!("DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE {NAME} IS %L', now()); END $$"))
        .await;
    run(conn, &format!("ALTER DATABASE {NAME} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")).await;
}

async fn drop_old(conn: &mut AsyncPgConnection) {
    let old: Vec<Old> = statement(OLD).load(conn).await.expect("the statement runs");
    for Old { name } in old {
        run(conn, &format!("ALTER DATABASE {name} WITH IS_TEMPLATE false")).await;
        run(conn, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
}

async fn run(conn: &mut AsyncPgConnection, sql: &str) {
    conn.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
