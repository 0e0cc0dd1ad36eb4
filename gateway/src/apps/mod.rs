//! Agent apps: their import, their cached current versions, their list.

mod cache;
mod definition;
mod import;
mod inputs;
pub mod list;

pub use cache::{AppCache, CurrentApp};
pub use definition::{DefinitionError, parse_definition};
pub use import::import;
pub use inputs::check_inputs;
