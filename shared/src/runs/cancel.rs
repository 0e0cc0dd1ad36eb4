//! The owner's end of a run: cancelled.

use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::events::EventData;
use super::state::RunStatus;
use super::state_machine::Transition;
use crate::db::{Connection, DbError, statement};
use crate::ids::{AppId, LaneId, RunId, UserId};

/// What [`cancel`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// This call cancelled the run.
    Done {
        /// The lane of the run's webhook delivery.
        lane: Option<LaneId>,
        /// Whether a worker held the run and must release it.
        held: bool,
        /// Pending runs of the user that may start in the place of this one.
        startable: u32,
    },
    /// The run was already over, with this status.
    Over(RunStatus),
    /// The user has no such run.
    Unknown,
}

#[derive(QueryableByName)]
struct CancelRow {
    #[diesel(sql_type = Text)]
    status: RunStatus,
    #[diesel(sql_type = Bool)]
    done: bool,
    #[diesel(sql_type = Bool)]
    held: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    lane_id: Option<LaneId>,
    #[diesel(sql_type = Integer)]
    startable: i32,
}

/// Cancels a pending or running run of the user. With `app`, the run must belong to that app. The cancel is
/// final at once: later writes of the worker that holds the run find no row with `running`. It is one
/// statement, so a process that is suspended in the middle holds no lock.
pub async fn cancel(
    conn: &mut Connection,
    user: UserId,
    app: Option<AppId>,
    run: RunId,
) -> Result<Cancelled, DbError> {
    let event = EventData::RunCancelled {};
    let sql = "SELECT status, done, held, lane_id, startable FROM cancel_run_v1($1, $2, $3, $4, $5, $6)";
    let mut rows: Vec<CancelRow> = statement(sql)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Array<Text>, _>(Transition::Cancel.allowed_from())
        .bind::<Text, _>(event.event_type().as_str())
        .bind::<Jsonb, _>(event.data())
        .load(conn)
        .await?;
    Ok(match rows.pop() {
        None => Cancelled::Unknown,
        Some(row) if row.done => Cancelled::Done {
            lane: row.lane_id,
            held: row.held,
            startable: u32::try_from(row.startable).unwrap_or(0),
        },
        Some(row) => Cancelled::Over(row.status),
    })
}
