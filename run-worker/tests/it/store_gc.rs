//! Sweeps of the store delete unreferenced objects after a second look, and keep referenced ones. A store of
//! another installation is never swept.

use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use run_worker::store_gc::{Sweeper, Swept};
use shared::db::statement;
use shared::ids::{ArtifactId, FileId, RunId};
use shared::lifecycle::Lifecycle;
use shared::storage::{Artifacts, ObjectKey, Owner, PackId, StorageError, StoreOwner, adopt_store};
use shared::testing::TestDatabase;
use tokio::time::Instant;

use crate::pending_runs;

fn store(dir: &tempfile::TempDir) -> Artifacts {
    Artifacts::open(&url::Url::from_directory_path(dir.path()).unwrap()).unwrap()
}

async fn put(store: &Artifacts, key: &ObjectKey) {
    store.put(key, Bytes::from_static(b"x")).await.unwrap();
}

async fn there(store: &Artifacts, keys: &[ObjectKey]) -> usize {
    let mut count = 0;
    for key in keys {
        count += usize::from(store.exists(key).await.is_ok());
    }
    count
}

/// A pass at a later time of this worker. All objects are old enough.
async fn pass(
    sweeper: &mut Sweeper,
    database: &TestDatabase,
    owner: &StoreOwner,
    store: &Artifacts,
) -> Swept {
    pass_after(sweeper, database, owner, store, Duration::ZERO).await
}

async fn pass_after(
    sweeper: &mut Sweeper,
    database: &TestDatabase,
    owner: &StoreOwner,
    store: &Artifacts,
    after: Duration,
) -> Swept {
    let then = Utc::now() + TimeDelta::hours(1);
    sweeper.pass(&database.db, store, owner, then, Instant::now() + after).await.unwrap()
}

const AN_HOUR: Duration = Duration::from_secs(3601);

#[tokio::test(flavor = "multi_thread")]
async fn only_old_unreferenced_objects_are_deleted_and_only_at_the_second_look() {
    let (database, dir) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let (store, lifecycle) = (store(&dir), Lifecycle::default());
    let (_, runs) = pending_runs(&database, 3).await;
    let (running, over, pending) = (runs[0], runs[1], runs[2]);
    let mut conn = database.conn().await;
    let start =
        "UPDATE runs SET status = 'running', lease_expires_at = capi_now(), attempt = 2 WHERE id = $1";
    let cancel = "UPDATE runs SET status = 'cancelled', completed_at = capi_now() WHERE id = $1";
    for (sql, run) in [(start, running), (cancel, over)] {
        statement(sql).bind::<SqlUuid, _>(run.uuid()).execute(&mut conn).await.unwrap();
    }
    let (artifact, file) = (ArtifactId::generate(), FileId::generate());
    let rows = "
        WITH a AS (
            INSERT INTO artifacts (id, run_id, type, title, size, sha256)
            VALUES ($1, $3, 'a/b', 't', 1, sha256(''))
        )
        INSERT INTO run_files (id, run_id, name, type, size, sha256)
        VALUES ($2, $3, 'n', 'a/b', 1, sha256(''))";
    statement(rows)
        .bind::<SqlUuid, _>(artifact.uuid())
        .bind::<SqlUuid, _>(file.uuid())
        .bind::<SqlUuid, _>(over.uuid())
        .execute(&mut conn)
        .await
        .unwrap();
    let unknown = RunId::generate();
    let kept = [
        ObjectKey::artifact(over, artifact),
        ObjectKey::file(over, file),
        ObjectKey::snapshot(running, 1, 2),
        ObjectKey::pack(running, PackId { attempt: 1, seq: 1, number: 7 }),
        ObjectKey::snapshot(pending, 1, 1),
    ];
    let swept = [
        ObjectKey::artifact(over, ArtifactId::generate()),
        ObjectKey::file(unknown, FileId::generate()),
        ObjectKey::snapshot(over, 1, 2),
        ObjectKey::pack(over, PackId { attempt: 1, seq: 2, number: 0 }),
    ];
    for key in kept.iter().chain(&swept) {
        put(&store, key).await;
    }
    let owner = StoreOwner::watch(&database.db, &store, &lifecycle).await;
    let mut sweeper = Sweeper::new("w");
    let young = Utc::now() - TimeDelta::hours(1);
    let swept_young = sweeper.pass(&database.db, &store, &owner, young, Instant::now() + AN_HOUR).await;
    assert_eq!(swept_young.unwrap(), Swept::Deleted(0), "they are too young");
    assert_eq!(pass(&mut sweeper, &database, &owner, &store).await, Swept::Deleted(0), "the first look");
    let soon = Duration::from_mins(50);
    assert_eq!(pass_after(&mut sweeper, &database, &owner, &store, soon).await, Swept::Deleted(0));
    assert_eq!(there(&store, &swept).await, 4);
    assert_eq!(pass_after(&mut sweeper, &database, &owner, &store, AN_HOUR).await, Swept::Deleted(4));
    assert_eq!((there(&store, &kept).await, there(&store, &swept).await), (5, 0));
    lifecycle.stop().await;
}

/// A16: a staging database beside the production store.
#[tokio::test(flavor = "multi_thread")]
async fn h5_a_store_of_another_installation_is_never_swept() {
    let dir = tempfile::tempdir().unwrap();
    let (production, staging) = (TestDatabase::create().await, TestDatabase::create().await);
    // Test databases are copies of one template.
    staging.run_sql("UPDATE installation SET id = gen_random_uuid()").await;
    let lifecycle = Lifecycle::default();
    let (_, runs) = pending_runs(&production, 50).await;
    let keys: Vec<_> = runs.iter().map(|run| ObjectKey::file(*run, FileId::generate())).collect();
    let of_production = store(&dir);
    for key in &keys {
        put(&of_production, key).await;
    }

    // Before any installation owns the store, a database that does not know its runs does not get it.
    let of_staging = store(&dir);
    let owner = StoreOwner::watch(&staging.db, &of_staging, &lifecycle).await;
    assert!(matches!(owner.check().await.unwrap(), Owner::Unrecognised { known: 0, runs: 50, .. }));
    assert!(!owner.is_ready());
    let shown = owner.shown().to_string();
    assert!(shown.contains("CAPI_ARTIFACTS_URL") && shown.contains("gateway store adopt --yes"), "{shown}");

    // An installation that is older than the id gets its own store.
    let own = StoreOwner::watch(&production.db, &of_production, &lifecycle).await;
    assert_eq!((own.check().await.unwrap(), own.is_ready()), (Owner::Own, true));
    assert!(matches!(owner.check().await.unwrap(), Owner::Other { .. }));
    let mut sweeper = Sweeper::new("w");
    for hours in 0..3 {
        let swept = pass_after(&mut sweeper, &staging, &owner, &of_staging, AN_HOUR * hours).await;
        assert_eq!(swept, Swept::Foreign);
    }
    assert_eq!(there(&of_production, &keys).await, 50);
    let refused = of_staging.put(&keys[0], Bytes::from_static(b"y")).await;
    assert!(matches!(refused, Err(StorageError::Foreign)), "staging does not write there either");

    // The right database, but it lost its rows: most of the store looks like garbage.
    production.run_sql("DELETE FROM runs").await;
    let mut sweeper = Sweeper::new("w");
    for hours in 0..3 {
        let swept = pass_after(&mut sweeper, &production, &own, &of_production, AN_HOUR * hours).await;
        assert_eq!(swept, Swept::TooMuch);
    }
    assert_eq!(there(&of_production, &keys).await, 50);

    adopt_store(&staging.db, &of_staging).await.unwrap();
    assert_eq!(owner.check().await.unwrap(), Owner::Own, "the operator decides");
    put(&of_staging, &keys[0]).await;
    assert!(matches!(own.check().await.unwrap(), Owner::Other { .. }));
    lifecycle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_belongs_to_the_first_database() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::create().await);
    let (store, lifecycle) = (store(&dir), Lifecycle::default());
    let owner = StoreOwner::watch(&database.db, &store, &lifecycle).await;
    assert_eq!((owner.check().await.unwrap(), owner.is_ready()), (Owner::Own, true));
    std::fs::write(dir.path().join("installation"), "no id").unwrap();
    assert!(matches!(owner.check().await.unwrap(), Owner::Unreadable { .. }));
    assert!(!owner.is_ready());
    lifecycle.stop().await;
}

/// Cancels and crashes may leave most of a store. The database knows these runs, so nothing is missing there.
#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_known_runs_do_not_stop_sweeps() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::create().await);
    let (store, lifecycle) = (store(&dir), Lifecycle::default());
    let (_, runs) = pending_runs(&database, 1).await;
    database.run_sql("UPDATE runs SET status = 'cancelled', completed_at = capi_now()").await;
    for number in 0..30 {
        put(&store, &ObjectKey::pack(runs[0], PackId { attempt: 1, seq: 1, number })).await;
    }
    let owner = StoreOwner::watch(&database.db, &store, &lifecycle).await;
    let mut sweeper = Sweeper::new("w");
    assert_eq!(pass(&mut sweeper, &database, &owner, &store).await, Swept::Deleted(0), "the first look");
    assert_eq!(pass_after(&mut sweeper, &database, &owner, &store, AN_HOUR).await, Swept::Deleted(30));
    lifecycle.stop().await;
}

/// The bound on deletions is one for all workers.
#[tokio::test(flavor = "multi_thread")]
async fn one_worker_deletes_in_an_hour() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::create().await);
    let (store, lifecycle) = (store(&dir), Lifecycle::default());
    let owner = StoreOwner::watch(&database.db, &store, &lifecycle).await;
    let add = async |count: usize| {
        for _ in 0..count {
            put(&store, &ObjectKey::file(RunId::generate(), FileId::generate())).await;
        }
    };
    add(3).await;
    let (mut first, mut second) = (Sweeper::new("first"), Sweeper::new("second"));
    for sweeper in [&mut first, &mut second] {
        assert_eq!(pass(sweeper, &database, &owner, &store).await, Swept::Deleted(0), "the first look");
    }
    assert_eq!(pass_after(&mut first, &database, &owner, &store, AN_HOUR).await, Swept::Deleted(3));
    add(2).await;
    assert_eq!(pass_after(&mut second, &database, &owner, &store, AN_HOUR).await, Swept::NotDue);
    database.set_clock_ahead(AN_HOUR).await;
    assert_eq!(pass_after(&mut second, &database, &owner, &store, AN_HOUR * 2).await, Swept::Deleted(2));
    lifecycle.stop().await;
}
