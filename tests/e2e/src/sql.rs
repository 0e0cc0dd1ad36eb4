//! What a test asks of the database.

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use shared::db::statement;

use crate::stack::Stack;

impl Stack {
    /// What a statement of one row says in its column `text`.
    pub async fn text(&self, sql: &'static str) -> String {
        self.texts(sql).await.pop().expect("the statement has a row")
    }

    /// The same of a statement of many rows.
    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let rows: Vec<Row> =
            statement(sql).load(&mut self.database.conn().await).await.expect("the statement runs");
        rows.into_iter().map(|row| row.text).collect()
    }
}
