//! Agent apps: their import, their cached current versions, their list.

mod cache;
mod import;
mod inputs;
pub mod list;

pub use cache::{AppCache, CurrentApp};
pub use import::{ImportError, import, parse_definition};
pub use inputs::check_inputs;
