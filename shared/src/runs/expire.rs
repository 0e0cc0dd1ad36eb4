//! The end of runs that no worker started within their queue timeout.

use std::collections::HashMap;
use std::slice;

use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;
use uuid::Uuid;

use super::finish::Finished;
use super::outcome::{RunEnd, RunError};
use super::state::ErrorCode;
use super::state_machine::Transition;
use crate::db::{Connection, DbError, statement};
use crate::ids::{LaneId, RunId, UserId};

#[derive(QueryableByName)]
struct ExpiredRow {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    user_id: Option<UserId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    lane_id: Option<LaneId>,
}

impl ExpiredRow {
    /// A pending run has no place that another one could start in.
    fn answer(&self) -> Finished {
        self.user_id.map_or(Finished::Fenced, |user| Finished::Done {
            user,
            lane: self.lane_id,
            startable: 0,
        })
    }
}

/// Fails runs that no worker started within their `queueTimeoutSeconds`, in one statement. The answers are in
/// the order of the runs: [`Finished::Fenced`] if a worker started the run or if the time is not over, `None`
/// if another transaction has locked it. With `wait` there is no `None`.
pub async fn expire_set(
    conn: &mut Connection,
    runs: &[RunId],
    wait: bool,
) -> Result<Vec<Option<Finished>>, DbError> {
    let message = "no worker started the run within its queueTimeoutSeconds";
    let error = RunError::new(ErrorCode::QueueTimeout, message, None);
    let event = RunEnd::Lost(error.clone()).event();
    let sql = "SELECT id, user_id, lane_id FROM expire_runs_v1($1, $2, $3, $4, $5, $6, $7)";
    let rows: Vec<ExpiredRow> = statement(sql)
        .bind::<Bool, _>(wait)
        .bind::<Array<SqlUuid>, _>(runs.iter().map(|run| run.uuid()).collect::<Vec<Uuid>>())
        .bind::<Array<Text>, _>(Transition::Expire.allowed_from())
        .bind::<Text, _>(event.event_type().as_str())
        .bind::<Jsonb, _>(event.data())
        .bind::<Text, _>(error.code.as_str())
        .bind::<Jsonb, _>(json!(error.stored()))
        .load(conn)
        .await?;
    let answers: HashMap<_, _> = rows.iter().map(|row| (row.id, row.answer())).collect();
    Ok(runs.iter().map(|run| answers.get(run).copied()).collect())
}

/// The same for one run. It waits for the row's lock.
pub async fn expire(conn: &mut Connection, run: RunId) -> Result<Finished, DbError> {
    let answer = expire_set(conn, slice::from_ref(&run), true).await?.pop().flatten();
    Ok(answer.unwrap_or(Finished::Fenced))
}
