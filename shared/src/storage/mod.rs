//! Artifacts: where their bytes are, and the signed links that open them.

mod links;
mod store;
mod upload;

pub use links::{LinkRefusal, Links};
pub use store::{Artifacts, ObjectKey, StorageError, Stored};
pub use upload::{Upload, Uploaded, hex};
