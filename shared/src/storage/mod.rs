//! The store of artifacts, input files and snapshots, the signed links to artifacts, and the installation
//! that owns the store.

mod garbage;
mod keys;
mod links;
mod owner;
mod space;
mod store;
mod upload;

pub use garbage::{Garbage, MIN_AGE, find_garbage};
pub use keys::{ObjectKey, PackId};
pub use links::{LinkRefusal, Links};
pub use owner::{Owner, StoreOwner, adopt_store, check_owner, find_owner, renew_installation};
pub use store::{Artifacts, StorageError, Stored};
pub use upload::{Upload, Uploaded, hex};

use crate::db::DbError;

/// Why the store and the database cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error(transparent)]
    Store(#[from] StorageError),
    #[error(transparent)]
    Database(#[from] DbError),
}
