//! The store of artifacts, input files and snapshots, and the signed links to artifacts.

mod links;
mod store;
mod upload;

pub use links::{LinkRefusal, Links};
pub use store::{Artifacts, ObjectKey, StorageError, Stored};
pub use upload::{Upload, Uploaded, hex};
