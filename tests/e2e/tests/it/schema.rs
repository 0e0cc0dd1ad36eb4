//! Migrations go up, down and up again to the same schema.

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use shared::db::{SchemaState, check_schema, migrate_down, migrate_up, statement};
use shared::testing::{TestDatabase, migrated};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

async fn schema(database: &TestDatabase) -> Vec<String> {
    let sql = "
        SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' \
        ' || coalesce(column_default, '') AS line
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'
        UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT \
        LIKE '\\_\\_diesel%'
        UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || \
        pg_get_constraintdef(oid) FROM pg_constraint
                  WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE \
                  '\\_\\_diesel%'
        UNION ALL SELECT 'function ' || proname || ' ' || prosrc FROM pg_proc
                  WHERE pronamespace = 'public'::regnamespace AND proname NOT LIKE 'diesel%'
        ORDER BY 1";
    let lines: Vec<Line> = statement(sql).load(&mut database.conn().await).await.unwrap();
    lines.into_iter().map(|row| row.line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn up_down_up_gives_the_same_schema() {
    let database = TestDatabase::create_empty().await;
    assert_eq!(check_schema(&database.db).await.unwrap(), SchemaState::TooOld);
    let empty = schema(&database).await;
    assert!(!migrated(|| migrate_up(&database.url)).await.unwrap().is_empty());
    assert_eq!(check_schema(&database.db).await.unwrap(), SchemaState::Usable);
    let first = schema(&database).await;
    assert!(first.len() > 100, "the schema is seen: {first:?}");
    assert!(
        migrated(|| migrate_up(&database.url)).await.unwrap().is_empty(),
        "nothing to do the second time"
    );
    migrated(|| migrate_down(&database.url)).await.unwrap();
    assert_eq!(schema(&database).await, empty);
    migrated(|| migrate_up(&database.url)).await.unwrap();
    assert_eq!(schema(&database).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_at_once_run_once() {
    let database = TestDatabase::create_empty().await;
    let migrate = || {
        let url = database.url.clone();
        tokio::spawn(async move { migrated(|| migrate_up(&url)).await })
    };
    let (one, other) = tokio::join!(migrate(), migrate());
    let mut ran = [one.unwrap().unwrap().len(), other.unwrap().unwrap().len()];
    ran.sort_unstable();
    assert!(ran[0] == 0 && ran[1] > 0, "{ran:?}");
}
