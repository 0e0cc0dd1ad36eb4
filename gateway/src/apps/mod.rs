//! Agent apps: their import, their cached current versions, and how they are shown.

mod cache;
mod definition;
pub mod get;
mod import;
mod inputs;
pub mod list;
mod view;

pub use cache::{AppCache, CurrentApp};
pub use definition::{DefinitionError, parse_definition};
pub use import::import;
pub use inputs::check_inputs;
