//! A page of a list that is ordered by time, newest first: `limit` and `cursor`. A cursor is opaque to callers; it holds
//! the place where the page before ended, and the filters it was made with.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, Datelike, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Query;

/// Items of a page at most.
const MAX_LIMIT: u32 = 100;
const VERSION: u8 = 1;

/// An item's place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// When the item was created.
    pub at: DateTime<Utc>,
    /// Its id, where two were created in one microsecond.
    pub id: Uuid,
}

#[derive(Serialize, Deserialize)]
struct Cursor<Filters> {
    v: u8,
    #[serde(flatten)]
    position: Position,
    filters: Filters,
}

/// What a cursor carries beside its position.
pub trait CursorFilters: Serialize + DeserializeOwned + Clone {
    /// Whether a cursor of ours can hold these.
    fn can_be_ours(&self) -> bool;

    /// Whether those that are given here are the same in a cursor.
    fn agree_with(&self, cursor: &Self) -> bool;
}

impl CursorFilters for () {
    fn can_be_ours(&self) -> bool {
        true
    }

    fn agree_with(&self, (): &Self) -> bool {
        true
    }
}

/// What a page is asked for with.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<Filters> {
    /// Items at most.
    pub limit: u32,
    /// The last item of the page before.
    pub after: Option<Position>,
    /// Which items.
    pub filters: Filters,
}

impl<Filters: CursorFilters> Page<Filters> {
    /// Reads `limit` and `cursor`. `filters` are those of the request; a cursor brings its own along, and a request that
    /// repeats them must not change them.
    pub fn read(query: &mut Query, default_limit: u32, filters: Filters) -> Self {
        let limit = query.parsed("limit", format!("a whole number from 1 to {MAX_LIMIT}"), |text| {
            text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
        });
        let limit = limit.unwrap_or(default_limit);
        let Some(text) = query.text("cursor") else {
            return Self { limit, after: None, filters };
        };
        let Some(cursor) = decode::<Filters>(&text) else {
            query.wrong(
                "cursor",
                "cursor is not one of ours; take nextCursor as it came, or leave it out for the first page",
            );
            return Self { limit, after: None, filters };
        };
        if !filters.agree_with(&cursor.filters) {
            query.wrong(
                "cursor",
                "the cursor was made with other filters; repeat those or leave the filters out",
            );
        }
        Self { limit, after: Some(cursor.position), filters: cursor.filters }
    }

    /// Rows to ask the database for: one more than the page has tells whether another page follows.
    #[must_use]
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts `items` to the page; the cursor of the next one, if there is one.
    pub fn cut<Item>(&self, items: &mut Vec<Item>, position: impl Fn(&Item) -> Position) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more)?;
        let cursor = Cursor { v: VERSION, position: position(last), filters: self.filters.clone() };
        Some(BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default()))
    }
}

/// Whether PostgreSQL has such a time; chrono knows far more years.
#[must_use]
pub fn can_be_stored(at: DateTime<Utc>) -> bool {
    (1970..10_000).contains(&at.year())
}

fn decode<Filters: CursorFilters>(text: &str) -> Option<Cursor<Filters>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&bytes)
        .ok()
        .filter(|cursor: &Cursor<Filters>| cursor.v == VERSION && can_be_stored(cursor.position.at))
        .filter(|cursor| cursor.filters.can_be_ours())
}
