//! Which installation owns the store. The database and the store hold the same id. Without this check, a
//! process with a wrong setting would delete all files of another installation, because its own database does
//! not know them.

mod check;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Artifacts, CompareError};
use crate::db::Db;
use crate::lifecycle::Lifecycle;

pub use check::{Owner, adopt_store, check_owner, find_owner, renew_installation};

/// The time between two checks of a running process.
const CHECK_EVERY: Duration = Duration::from_secs(10);
/// The first check delays the start at most this long.
const FIRST_CHECK_WITHIN: Duration = Duration::from_secs(5);

/// What a process knows about the owner of its store.
#[derive(Clone)]
pub struct StoreOwner {
    db: Db,
    store: Artifacts,
    /// `None` until the first check succeeded.
    known: Arc<Mutex<Option<Owner>>>,
}

impl StoreOwner {
    /// Checks now, and again until the process stops.
    pub async fn watch(db: &Db, store: &Artifacts, lifecycle: &Lifecycle) -> Self {
        let owner = Self { db: db.clone(), store: store.clone(), known: Arc::default() };
        let _ = tokio::time::timeout(FIRST_CHECK_WITHIN, owner.check()).await;
        let (checking, stopping) = (owner.clone(), lifecycle.stopping().clone());
        lifecycle.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(CHECK_EVERY) => {}
                    () = stopping.cancelled() => return,
                }
                tokio::select! {
                    _ = checking.check() => {}
                    () = stopping.cancelled() => return,
                }
            }
        });
        owner
    }

    /// Compares the ids. A failure keeps what was known: a store that does not answer must not stop runs
    /// without files.
    pub async fn check(&self) -> Result<Owner, CompareError> {
        let found = check_owner(&self.db, &self.store).await.inspect_err(|error| {
            tracing::warn!(%error, "failed to check which installation owns the store");
        })?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).replace(found);
        self.store.set_foreign(!found.is_own());
        metrics::gauge!("capi_store_foreign").set(if found.is_own() { 0.0 } else { 1.0 });
        if known != Some(found) {
            match found {
                Owner::Own => tracing::debug!("the store belongs to this installation"),
                other => tracing::error!("{other}"),
            }
        }
        Ok(found)
    }

    /// False if the store is known to belong to another installation.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.known().is_none_or(Owner::is_own)
    }

    /// For /readyz.
    #[must_use]
    pub fn shown(&self) -> Value {
        match self.known() {
            None => json!("unchecked"),
            Some(Owner::Own) => json!("own"),
            Some(other) => json!(other.to_string()),
        }
    }

    fn known(&self) -> Option<Owner> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
