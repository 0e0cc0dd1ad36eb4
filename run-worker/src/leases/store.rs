//! The statements of a worker on its runs, and the fence that rejects stale writes ([`Fence`]).

use std::collections::HashSet;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Interval, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, interval, statement};
use shared::ids::RunId;
use shared::runs::{Fence, RunStatus};
use uuid::Uuid;

pub use super::claim::{Claimant, Claimed, ClaimedSet, Wanted, claim};
pub use super::take_over_sql::take_over;

/// What [`renew`] found. A run in neither set is lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    pub kept: HashSet<RunId>,
    /// Another statement has locked the row: a step of the run, or a cancel. The state of the lease is
    /// unknown.
    pub locked: HashSet<RunId>,
}

#[derive(QueryableByName)]
struct RenewedRow {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = Bool)]
    kept: bool,
}

/// Renews leases in one statement.
pub async fn renew(conn: &mut Connection, held: &[Fence], lease: Duration) -> Result<Renewed, DbError> {
    let rows: Vec<RenewedRow> = statement("SELECT id, kept FROM renew_leases_v1($1, $2, $3, $4)")
        .bind::<Array<SqlUuid>, _>(held.iter().map(|fence| fence.run.uuid()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(held.iter().map(|fence| fence.attempt).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(held.iter().map(|fence| fence.claim).collect::<Vec<_>>())
        .bind::<Interval, _>(interval(lease))
        .load(conn)
        .await?;
    let mut renewed = Renewed::default();
    for row in rows {
        if row.kept {
            renewed.kept.insert(row.id)
        } else {
            renewed.locked.insert(row.id)
        };
    }
    Ok(renewed)
}

/// Leaves a lease without an owner, which ends after `$pause`. So another worker takes the run over without a
/// loss. The pause does not count as worked.
macro_rules! give_back_sql {
    ($pause:literal, $which:literal) => {
        concat!(
            "UPDATE runs SET lease_owner = NULL, lease_claim = NULL, lease_expires_at = capi_now() + ",
            $pause,
            ", worked_seconds = worked_seconds + worked_v1(counted_at, capi_now(), lease_expires_at),
                 counted_at = capi_now() + ",
            $pause,
            " WHERE ",
            $which
        )
    };
}

/// The status is a parameter, so that the planner cannot choose the index of all running runs.
const GIVE_BACK: &str = give_back_sql!("$5", "id = $1 AND attempt = $2 AND lease_claim = $3 AND status = $4");

/// The message makes it a write even without a row. So while commits hang, because a standby is away, it gets
/// no answer: the commit of the claim may hang too, and then its runs are not seen yet.
const GIVE_CLAIM_BACK: &str = give_back_sql!(
    "interval '0'",
    "status = 'running' AND lease_owner = $1 AND lease_claim = $2
     AND (SELECT pg_logical_emit_message(true, 'capi', '')) IS NOT NULL RETURNING id"
);

/// Gives a run back: another worker takes it over at once, without a loss. Returns false for a stale write.
pub async fn give_back(conn: &mut Connection, fence: Fence) -> Result<bool, DbError> {
    give_back_after(conn, fence, Duration::ZERO).await
}

/// The same after a pause: until then no worker takes the run over.
pub async fn give_back_after(conn: &mut Connection, fence: Fence, pause: Duration) -> Result<bool, DbError> {
    let given = statement(GIVE_BACK)
        .bind::<SqlUuid, _>(fence.run.uuid())
        .bind::<Integer, _>(fence.attempt)
        .bind::<SqlUuid, _>(fence.claim)
        .bind::<Text, _>(RunStatus::Running.as_str())
        .bind::<Interval, _>(interval(pause))
        .execute(conn)
        .await?;
    Ok(given == 1)
}

#[derive(QueryableByName)]
struct RunRow {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
}

/// Gives all runs of a claim or takeover of this worker back. Returns them.
pub async fn give_claim_back(
    conn: &mut Connection,
    worker: &str,
    claim: Uuid,
) -> Result<Vec<RunId>, DbError> {
    let given: Vec<RunRow> =
        statement(GIVE_CLAIM_BACK).bind::<Text, _>(worker).bind::<SqlUuid, _>(claim).load(conn).await?;
    Ok(given.into_iter().map(|row| row.id).collect())
}

/// Ends all leases of a worker that is known to be dead. Their takeovers count a loss. Returns how many there
/// were.
pub async fn end_leases_of(conn: &mut Connection, worker: &str) -> Result<i64, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        ended: i64,
    }
    let ending = statement("SELECT end_leases_of_v1($1) AS ended").bind::<Text, _>(worker);
    let row: Row = ending.get_result(conn).await?;
    Ok(row.ended)
}

/// Matches only a cancelled run, and only once. A run that was taken over belongs to its new worker. A cancel
/// by a gateway of the former version deletes the claim.
const RECORD_RELEASE: &str = "
UPDATE runs SET released_at = capi_now()
WHERE id = $1 AND attempt = $2 AND (lease_claim = $3 OR lease_claim IS NULL) AND status = 'cancelled'
    AND released_at IS NULL
RETURNING extract(epoch FROM released_at - completed_at)::double precision AS seconds";

#[derive(QueryableByName)]
struct ReleasedRow {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

/// Records that this worker released a cancelled run. Returns the seconds since the cancel, or `None` if the
/// run was not cancelled.
pub async fn record_cancel_release(conn: &mut Connection, fence: Fence) -> Result<Option<f64>, DbError> {
    let mut rows: Vec<ReleasedRow> = statement(RECORD_RELEASE)
        .bind::<SqlUuid, _>(fence.run.uuid())
        .bind::<Integer, _>(fence.attempt)
        .bind::<SqlUuid, _>(fence.claim)
        .load(conn)
        .await?;
    Ok(rows.pop().map(|row| row.seconds))
}
