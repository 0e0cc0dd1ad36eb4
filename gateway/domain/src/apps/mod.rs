//! Agent apps: their definitions, how they are stored and versioned, and the cache of current versions.

mod cache;
mod definition;
mod fetch_rules;
mod inputs;
pub mod list;
pub mod room;
pub mod store;
pub mod versions;

pub use cache::{AppCache, CurrentApp};
pub use definition::{
    Checks, DefinitionError, DefinitionFieldError, check_ceilings, check_definition, parse_definition,
};
pub use inputs::check_inputs;
