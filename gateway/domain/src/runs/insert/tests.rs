//! Sets of creates: each row has its own outcome.

use std::sync::Arc;

use diesel_async::SimpleAsyncConnection;
use serde_json::json;
use shared::testing::TestDatabase;

use super::*;
use crate::Refusal;
use crate::apps::AppCache;

const RUNS: &str = "SELECT 1 FROM runs";
/// Two accounts with an app each.
const ACCOUNTS: &str = "
WITH wanted AS (SELECT n, md5(n::text)::uuid AS id FROM generate_series(1, 2) n), u AS (
    INSERT INTO users (id, email, password_hash, plan) SELECT id, n || '@x', '', 'big' FROM wanted
), s AS (INSERT INTO user_slots (user_id) SELECT id FROM wanted
), a AS (INSERT INTO apps (id, user_id, name) SELECT id, id, 'a' FROM wanted)
INSERT INTO app_versions (id, app_id, version, definition)
SELECT id, id, 1, '{\"name\": \"a\", \"prompt\": \"p\"}' FROM wanted";

struct Fixture {
    database: TestDatabase,
    accepting: Accepting,
    /// Of the two accounts. Account, app and version have the same id.
    apps: [Arc<CurrentApp>; 2],
}

/// What a test varies.
#[derive(Clone, Copy, Default)]
struct Wanted<'a> {
    /// Which of the two accounts.
    account: usize,
    key: Option<&'a IdempotencyKey>,
    quotas: Quotas,
    files: Option<&'a Value>,
    text: &'a str,
}

impl Fixture {
    async fn make() -> Self {
        let database = TestDatabase::create().await;
        database.run_sql(ACCOUNTS).await;
        let cache = AppCache::default();
        let app = async |id: &str| {
            let id: uuid::Uuid = id.parse().unwrap();
            AppCache::load(&cache, &database.db, UserId::from(id), AppId::from(id)).await.unwrap()
        };
        // md5 of 1 and of 2.
        let apps =
            [app("c4ca4238a0b923820dcc509a6f75849b").await, app("c81e728d9d4c2f636f067f89cc14862c").await];
        let accepting = Accepting { db: database.db.clone() };
        Self { database, accepting, apps }
    }

    fn run(&self, wanted: &Wanted<'_>) -> Accept {
        let (id, app) = (RunId::generate(), &self.apps[wanted.account]);
        let run = NewRun {
            id,
            user: app.id.uuid().into(),
            key: None,
            app,
            title: "t",
            inputs: &json!({"text": wanted.text}),
            model: "m",
            webhook: None,
            webhook_events: None,
            metadata: &json!({"a": "b"}),
            queue_timeout_seconds: 60,
            request_id: Some("r"),
            files: wanted.files,
            idempotency_key: wanted.key,
            quotas: &wanted.quotas,
            asked: Asked { stored_bytes: 0, request_bytes: 7 },
        };
        Accept { id, user: run.user, row: serde_json::to_string(&Row::from(&run)).unwrap() }
    }

    async fn together(&self, wanted: &[Wanted<'_>]) -> Vec<Option<Inserted>> {
        let runs: Vec<_> = wanted.iter().map(|wanted| self.run(wanted)).collect();
        self.accepting.together(&runs).await.unwrap()
    }
}

const YES: Option<Inserted> = Some(Inserted::Yes);
const NO: Option<Inserted> = Some(Inserted::No);

#[tokio::test(flavor = "multi_thread")]
async fn of_several_creates_with_one_key_in_a_set_the_first_is_written() {
    let fixture = Fixture::make().await;
    let key = IdempotencyKey::new("/".to_owned(), "k".to_owned(), json!({}));
    let plain = Wanted::default();
    let keyed = Wanted { key: Some(&key), ..plain };
    let hers = Wanted { account: 1, ..keyed };
    let set = [keyed, plain, keyed, hers, keyed];
    assert_eq!(fixture.together(&set).await, [YES, YES, NO, YES, NO]);
    assert_eq!(fixture.together(&set).await, [NO, YES, NO, NO, NO], "the keys are taken");
    assert_eq!(fixture.database.run_sql(RUNS).await, 4);
    let whole = r#"
        SELECT 1 FROM runs r JOIN run_events e ON e.run_id = r.id JOIN run_metadata m ON m.run_id = r.id
        WHERE r.source = 'console' AND r.status = 'pending' AND e.seq = 1 AND e.type = 'run.created'
          AND e.data = '{"source": "console"}' AND m.value = 'b' AND r.inputs = '{"text": ""}'"#;
    assert_eq!(fixture.database.run_sql(whole).await, 4);
    let of_its_run =
        "SELECT 1 FROM idempotency_keys k JOIN runs r ON r.id = k.run_id AND r.user_id = k.user_id";
    assert_eq!(fixture.database.run_sql(of_its_run).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_against_a_changed_app_fails_alone_and_takes_no_key() {
    let fixture = Fixture::make().await;
    let key = IdempotencyKey::new("/".to_owned(), "k".to_owned(), json!({}));
    let keyed = Wanted { key: Some(&key), ..Wanted::default() };
    let set = [keyed, Wanted { account: 1, ..keyed }];
    let archive = "UPDATE apps SET archived_at = now() WHERE user_id = md5('1')::uuid";
    fixture.database.run_sql(archive).await;
    assert_eq!(fixture.together(&set).await, [NO, YES]);
    let change = "UPDATE apps SET archived_at = NULL, current_version = 2 WHERE user_id = md5('1')::uuid";
    fixture.database.run_sql(change).await;
    assert_eq!(fixture.together(&set).await, [NO, NO]);
    assert_eq!(fixture.database.run_sql("SELECT 1 FROM idempotency_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_postgresql_refuses_fails_alone() {
    let fixture = Fixture::make().await;
    let poison = Wanted { text: "\u{0}", ..Wanted::default() };
    let set = [Wanted::default(), poison, Wanted { account: 1, ..poison }, Wanted::default()];
    let batch = Batch::start("accept", 10, Accepting { db: fixture.database.db.clone() });
    // The first of them goes out by itself, the others as a set.
    let mut calls = Vec::new();
    for wanted in &set {
        let (batch, run) = (batch.clone(), fixture.run(wanted));
        calls.push(tokio::spawn(async move { batch.call(run).await.ok() }));
    }
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    assert_eq!(answers, [YES, None, None, YES]);
    assert_eq!(fixture.database.run_sql(RUNS).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_within_a_set_and_a_locked_account_holds_up_no_other() {
    let fixture = Fixture::make().await;
    let quotas =
        Quotas { max_pending_runs: Some(2), max_request_bytes_per_day: Some(1000), ..Quotas::default() };
    let limited = Wanted { quotas, ..Wanted::default() };
    let files = json!([{
        "id": RunId::generate(), "name": "f", "type": "a/b", "size": 3, "sha256": "00".repeat(32),
        "part": "files", "position": 0,
    }]);
    let with_file = Wanted { account: 1, files: Some(&files), ..Wanted::default() };
    let other = Wanted { account: 1, ..Wanted::default() };
    let with_its_file = fixture.run(&with_file);
    assert_eq!(fixture.together(&[limited]).await, [YES], "its account's row is new");
    assert_eq!(fixture.accepting.alone(&with_its_file).await.unwrap(), Inserted::Yes);

    let mut holder = fixture.database.conn().await;
    holder.batch_execute("BEGIN; SELECT 1 FROM account_use FOR UPDATE").await.unwrap();
    assert_eq!(fixture.together(&[limited, other, limited]).await, [None, YES, None]);
    holder.batch_execute("COMMIT").await.unwrap();

    let answers = fixture.together(&[limited, other, limited, limited]).await;
    assert_eq!(answers[..2], [YES, YES]);
    for answer in &answers[2..] {
        let Some(Inserted::OverQuota(exceeded)) = answer else { panic!("{answers:?}") };
        assert_eq!((exceeded.used, exceeded.limit), (2, 2));
    }
    let counted = "SELECT 1 FROM account_use WHERE request_bytes = 14 AND user_id = md5('1')::uuid";
    assert_eq!(fixture.database.run_sql(counted).await, 1, "of the two that were written");
    assert_eq!(fixture.database.run_sql("SELECT 1 FROM run_files").await, 1);
}

#[test]
fn a_full_queue_is_unavailable() {
    assert!(matches!(Refusal::from(DbError::QueueFull), Refusal::Unavailable(_)));
}
