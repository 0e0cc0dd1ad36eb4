//! Reads a run's events. The caller has checked that the run is the user's.

use shared::db::Db;
use shared::ids::RunId;
use shared::runs::events::{self, Event};

use crate::Refusal;

/// The events after number `after`, in order: at most `limit`, and not many more than `bytes`. The page is
/// empty only if there is none.
pub async fn read_after(
    db: &Db,
    run: RunId,
    after: i64,
    limit: i64,
    bytes: i64,
) -> Result<Vec<Event>, Refusal> {
    let reading =
        db.read(|mut conn| async move { events::read_after(&mut conn, run, after, limit, bytes).await });
    Ok(reading.await?)
}
