//! How requests are read.

mod json;

pub use json::json_object;
