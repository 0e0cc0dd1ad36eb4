//! `limit` and `cursor` of a list.

use gateway_domain::page::{Cursor, CursorFilters, MAX_LIMIT, Page};

use super::Query;

/// Reads `limit` and `cursor`. `filters` are the filters of the request. A cursor brings its own filters; a
/// request may repeat them but not change them.
pub fn read_page<Filters: CursorFilters>(
    query: &mut Query,
    default_limit: u32,
    filters: Filters,
) -> Page<Filters> {
    let limit = query.parsed("limit", format!("a whole number from 1 to {MAX_LIMIT}"), |text| {
        text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
    });
    let limit = limit.unwrap_or(default_limit);
    let Some(text) = query.text("cursor") else {
        return Page { limit, after: None, filters };
    };
    let Some(cursor) = Cursor::<Filters>::decode(&text) else {
        query.wrong(
            "cursor",
            "cursor is not valid; send nextCursor unchanged, or leave it out for the first page",
        );
        return Page { limit, after: None, filters };
    };
    if !filters.agree_with(&cursor.filters) {
        query
            .wrong("cursor", "the cursor was made with other filters; repeat those or leave the filters out");
    }
    Page { limit, after: Some(cursor.position), filters: cursor.filters }
}
