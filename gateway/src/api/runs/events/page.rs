//! One page of a run's log as JSON.

use gateway_domain::runs::{RunRef, events, get};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::db::Db;
use shared::ids::UserId;
use shared::runs::events::EventType;
use utoipa::ToSchema;

use super::render::render;
use super::shown::ShownEvent;
use crate::http::ApiError;

/// Bytes of a page.
const MAX_PAGE_BYTES: usize = 1 << 20;
/// Bytes of a page around its events.
const MAX_ENVELOPE_BYTES: usize = 1 << 10;
/// Bytes of events that are read for a page. One more event, and what the page adds to each, also fit into
/// the page.
const READ_BYTES: i64 = 832 << 10;

/// A page of events.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventPage {
    #[schema(value_type = Vec<ShownEvent>)]
    data: Vec<Box<RawValue>>,
    /// `after` of the next page. Null if no event can follow, because the run is over.
    #[schema(required)]
    next_after: Option<i64>,
}

/// Reads the events of the user's run after number `after`, at most `limit`.
pub(super) async fn read(
    db: &Db,
    (user, run): (UserId, RunRef),
    after: i64,
    limit: i64,
) -> Result<EventPage, ApiError> {
    // Read before the events: a run that is over has no event after those that are read then.
    let status = get::status(db, user, run).await?;
    let events = events::read_after(db, run.run, after, limit, READ_BYTES).await?;
    let (mut data, mut bytes, mut last) = (Vec::with_capacity(events.len()), 0, None);
    for event in &events {
        let shown = render(event).map_err(|error| ApiError::fault(&error))?;
        bytes += shown.get().len() + 1;
        if bytes > MAX_PAGE_BYTES - MAX_ENVELOPE_BYTES {
            break;
        }
        data.push(shown);
        last = Some(event);
    }
    let is_last = match last {
        Some(event) => EventType::of(&event.r#type).is_some_and(EventType::is_terminal),
        None => status.is_over(),
    };
    let next_after = (!is_last).then(|| last.map_or(after, |event| event.seq));
    Ok(EventPage { data, next_after })
}
