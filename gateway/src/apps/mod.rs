//! Agent apps: how they are stored, their cached current versions, and how they are shown.

mod cache;
mod definition;
pub mod get;
mod inputs;
pub mod list;
pub mod store;
pub mod versions;
mod view;

pub use cache::{AppCache, CurrentApp};
pub use definition::{DefinitionError, Mistake, check_definition, parse_definition};
pub use inputs::check_inputs;
pub(crate) use view::{AppRow, load};
