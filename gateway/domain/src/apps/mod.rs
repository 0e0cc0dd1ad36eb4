//! Agent apps: their definitions, how they are stored and versioned, and the cache of current versions.

pub mod archive;
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
    Checks, DefinitionError, DefinitionFieldError, DefinitionFile, check_ceilings, check_definition,
    memory_of_toml, parse_definition, parse_for_plan, to_toml,
};
pub use inputs::check_inputs;
