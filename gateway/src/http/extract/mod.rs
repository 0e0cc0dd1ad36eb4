//! How requests are read.

mod accept;
mod address;
mod app_data;
mod delivery_filters;
mod etag;
mod idempotency;
mod if_match;
mod json;
mod json_text;
mod media_type;
mod page;
mod prefer;
mod query;
mod run_filters;

pub use accept::{Wanted, json_or_event_stream, names_any, prefers};
pub use address::Client;
pub use app_data::app_data;
pub use delivery_filters::{read_delivery_filters, read_delivery_statuses};
pub use etag::{is_known, tag};
pub use idempotency::idempotency_key;
pub use if_match::{IfMatch, if_match};
pub use json::{MAX_BODY, body, json_object};
pub use json_text::{read_json, utf8};
pub use media_type::{announced, announces_more, check_encoding, is_of_type, may_have_large_files};
pub use page::read_page;
pub use prefer::{preferred_wait, seconds};
pub use query::Query;
pub use run_filters::{read_filters, read_filters_of_app};
