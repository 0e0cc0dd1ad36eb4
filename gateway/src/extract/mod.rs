//! How requests are read.

mod address;
mod etag;
mod idempotency;
mod json;
mod page;
mod prefer;
mod query;

pub use address::client_address;
pub use etag::is_known;
pub use idempotency::idempotency_key;
pub use json::{MAX_BODY, announces_more, body, is_of_type, json_object, json_value};
pub use page::{CursorFilters, Page, Position, can_be_stored};
pub use prefer::{preferred_wait, seconds};
pub use query::Query;
