//! Pages of lists that are ordered by time, newest first. A cursor is opaque to clients. It holds the
//! position at which the previous page ended and the filters of the list.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, Datelike, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Items of a page at most.
pub const MAX_LIMIT: u32 = 100;
const VERSION: u8 = 1;

/// The position of an item in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// When the item was created.
    pub at: DateTime<Utc>,
    /// Orders items that were created in the same microsecond.
    pub id: Uuid,
}

/// A cursor before it is encoded.
#[derive(Serialize, Deserialize)]
pub struct Cursor<Filters> {
    v: u8,
    #[serde(flatten)]
    pub position: Position,
    pub filters: Filters,
}

/// The filters that a cursor carries.
pub trait CursorFilters: Serialize + DeserializeOwned + Clone {
    /// Whether this program could have put these filters into a cursor. Clients can make cursors up.
    fn is_valid(&self) -> bool;

    /// Whether the filters that a request repeats are those of the cursor.
    fn agree_with(&self, cursor: &Self) -> bool;
}

impl CursorFilters for () {
    fn is_valid(&self) -> bool {
        true
    }

    fn agree_with(&self, (): &Self) -> bool {
        true
    }
}

impl<Filters: CursorFilters> Cursor<Filters> {
    /// `None` for a text that [`Page::cut`] did not make.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        serde_json::from_slice(&bytes)
            .ok()
            .filter(|cursor: &Self| cursor.v == VERSION && can_be_stored(cursor.position.at))
            .filter(|cursor| cursor.filters.is_valid())
    }
}

/// A request for one page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<Filters> {
    /// Items at most.
    pub limit: u32,
    /// The position of the last item of the previous page.
    pub after: Option<Position>,
    pub filters: Filters,
}

impl<Filters: CursorFilters> Page<Filters> {
    /// Rows to load: one more than the limit tells whether another page follows.
    #[must_use]
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts `items` to the page. Returns the cursor of the next page, if there is one.
    pub fn cut<Item>(&self, items: &mut Vec<Item>, position: impl Fn(&Item) -> Position) -> Option<String> {
        self.cut_at(items, usize::MAX, position)
    }

    /// The same for a page that holds at most `fitting` items, because more have too many bytes.
    pub fn cut_at<Item>(
        &self,
        items: &mut Vec<Item>,
        fitting: usize,
        position: impl Fn(&Item) -> Position,
    ) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX).min(fitting);
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more)?;
        let cursor = Cursor { v: VERSION, position: position(last), filters: self.filters.clone() };
        Some(BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default()))
    }
}

/// Whether PostgreSQL has such a time. chrono knows many more years.
#[must_use]
pub fn can_be_stored(at: DateTime<Utc>) -> bool {
    (1970..10_000).contains(&at.year())
}
