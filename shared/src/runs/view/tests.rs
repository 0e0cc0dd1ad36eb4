use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Interval, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use super::{AHEAD_COUNTED, LOAD_ONE, ShownResult, ShownSource, WORKERS_REPORT_WITHIN};
use crate::db::{interval, statement};
use crate::ids::{RunId, UserId};
use crate::runs::events::SourceUse;
use crate::runs::{RunResult, RunSource};
use crate::testing::TestDatabase;

#[test]
fn a_stored_result_is_shown_as_it_is() {
    let source =
        RunSource { id: 3, url: "https://e.org/".to_owned(), title: "E".to_owned(), how: SourceUse::Cited };
    let result = RunResult {
        text: "null".to_owned(),
        data: Some(Value::Null),
        partial: false,
        sources: vec![source.clone()],
    };
    let shown: ShownResult = serde_json::from_value(json!(result)).unwrap();
    assert_eq!((shown.text, shown.data, shown.partial), (result.text, result.data, result.partial));
    let expected = ShownSource { id: 3, url: source.url, title: source.title, how: "cited".to_owned() };
    assert_eq!(shown.sources, [expected]);
}

#[test]
fn a_use_that_only_a_later_version_knows_is_shown_as_it_is() {
    let stored = json!({"text": "", "artifacts": [], "sources": [
        {"id": 1, "url": "https://e.org/", "title": "", "how": "translated"}]});
    let shown: ShownResult = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(json!(shown), stored);
}

#[test]
fn a_field_of_a_later_version_is_ignored() {
    let shown: ShownResult = serde_json::from_value(json!({"text": "a", "later": []})).unwrap();
    assert_eq!(shown, ShownResult { text: "a".to_owned(), ..ShownResult::default() });
}

/// Case 14: a plan for each call cost more than the call.
#[tokio::test(flavor = "multi_thread")]
async fn one_run_is_loaded_with_a_plan_that_is_made_once() {
    const MANY: [&str; 2] = [
        "WITH u AS (
             INSERT INTO users (id, email, password_hash, plan)
             SELECT gen_random_uuid(), n || '@x', '', 'pro' FROM generate_series(1, 3) n RETURNING id
         ), a AS (
             INSERT INTO apps (id, user_id, name) SELECT gen_random_uuid(), id, 'a' FROM u
             RETURNING id, user_id
         ), v AS (
             INSERT INTO app_versions (id, app_id, version, definition)
             SELECT gen_random_uuid(), id, 1, '{}' FROM a RETURNING id, app_id
         )
         INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs, chat_model_id,
                           metadata, created_at, completed_at, last_seq)
         SELECT gen_random_uuid(), a.user_id, a.id, v.id, 'api', 'cancelled', '', '{}', 'm', '{}', capi_now(),
                capi_now(), 1
         FROM a JOIN v ON v.app_id = a.id, generate_series(1, 5000)",
        "ANALYZE",
    ];
    #[derive(QueryableByName)]
    struct Plans {
        #[diesel(sql_type = BigInt)]
        generic: i64,
        #[diesel(sql_type = BigInt)]
        custom: i64,
    }
    const CALLS: i64 = 12;
    let database = TestDatabase::create().await;
    for sql in MANY {
        database.run_sql(sql).await;
    }
    let mut conn = database.conn().await;
    for _ in 0..CALLS {
        statement(LOAD_ONE.as_str())
            .bind::<SqlUuid, _>(RunId::generate().uuid())
            .bind::<SqlUuid, _>(UserId::generate().uuid())
            .bind::<Jsonb, _>(json!({"pro": 20}))
            .bind::<BigInt, _>(5_i64)
            .bind::<BigInt, _>(AHEAD_COUNTED)
            .bind::<Bool, _>(true)
            .bind::<Interval, _>(interval(WORKERS_REPORT_WITHIN))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let sql = "SELECT generic_plans AS generic, custom_plans AS custom FROM pg_prepared_statements
               WHERE statement LIKE '%line AS MATERIALIZED%'
                 AND statement NOT LIKE '%pg_prepared_statements%'";
    let plans: Plans = statement(sql).get_result(&mut conn).await.unwrap();
    assert_eq!((plans.generic, plans.custom), (CALLS - 5, 5), "PostgreSQL tries five plans first");
}
