//! How requests are read.

mod address;
mod json;
mod page;
mod prefer;
mod query;

pub use address::client_address;
pub use json::json_object;
pub use page::{CursorFilters, Page, Position, can_be_stored};
pub use prefer::preferred_wait;
pub use query::Query;
