//! Artifacts: where their bytes are, and the signed links that open them.

mod links;
mod store;

pub use links::{LinkRefusal, Links};
pub use store::{Artifacts, StorageError};
