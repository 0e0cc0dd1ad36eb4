//! Statements that tests run on a stack's database.

use diesel::QueryableByName;
use diesel::sql_types::{Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use shared::db::{connect_once, statement};
use shared::testing::eventually;

use crate::stack::Stack;

impl Stack {
    /// The column `text` of a statement with one row.
    pub async fn text(&self, sql: &str) -> String {
        self.texts(sql).await.pop().expect("the statement has a row")
    }

    /// The same for a statement with any number of rows.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let rows: Vec<Row> = statement(sql.to_owned())
            .load(&mut self.database.conn().await)
            .await
            .expect("the statement runs");
        rows.into_iter().map(|row| row.text).collect()
    }

    /// Vacuums the tables, and keeps autovacuum away from them: it would count as work of the services.
    pub async fn without_autovacuum(&self) {
        self.database.disable_autovacuum().await;
        self.database.run_sql("VACUUM ANALYZE").await;
    }

    /// Writes pending runs of the account, as the gateway writes them, but sends no nudges.
    pub async fn backlog(&self, runs: usize, text: &str) {
        self.backlog_to(runs, text, None).await;
    }

    /// The same with a URL for webhooks of their ends.
    pub async fn backlog_to(&self, runs: usize, text: &str, webhook_url: Option<&str>) {
        let sql = "
            WITH made AS (
                INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs, \
                chat_model_id, metadata, created_at, last_seq, webhook_url, webhook_host)
                SELECT (substr(capi_uuid_floor(capi_now())::text, 1, 14) || '7' || substr(md5(n::text), 1, \
                3) || '-8' || substr(md5(n::text), 4, 3)
                            || '-' || substr(md5(n::text), 7, 12))::uuid,
                       a.user_id, a.id, v.id, 'api', 'pending', 't', jsonb_build_object('text', $2), \
                       'scripted', '{}', capi_now(), 1, $4, $5
                FROM apps a JOIN app_versions v ON v.app_id = a.id, generate_series(1, $1) n WHERE a.id = $3
                RETURNING id, created_at)
            INSERT INTO run_events (run_id, seq, type, at, attempt, data) SELECT id, 1, 'run.created', \
            created_at, 0, '{\"source\": \"api\"}' FROM made";
        statement(sql)
            .bind::<Integer, _>(i32::try_from(runs).expect("a count of runs"))
            .bind::<Text, _>(text)
            .bind::<SqlUuid, _>(self.app.uuid())
            .bind::<Nullable<Text>, _>(webhook_url)
            .bind::<Nullable<Text>, _>(webhook_url.and_then(|url| url.split('/').nth(2)))
            .execute(&mut self.database.conn().await)
            .await
            .expect("the runs are written");
    }

    /// Opens a transaction beside the services that has run `sql`.
    pub async fn meanwhile(&self, sql: &str) -> OpenTransaction {
        const NO_LIMITS: &str = "SET idle_in_transaction_session_timeout = 0; SET lock_timeout = 0";
        let connect = async || connect_once(&self.database.url, "capi-test-lock").await.ok();
        let mut connection = eventually("PostgreSQL answers", connect).await;
        let begin = format!("{NO_LIMITS}; BEGIN; {sql}");
        connection.batch_execute(&begin).await.expect("the statement runs");
        OpenTransaction(connection)
    }
}

/// Dropping it rolls it back.
pub struct OpenTransaction(AsyncPgConnection);

impl OpenTransaction {
    pub async fn commit(mut self) {
        self.0.batch_execute("COMMIT").await.expect("the transaction is committed");
    }
}
