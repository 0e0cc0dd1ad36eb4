//! Bounds the uploads that an account has in flight in this process. Each writes to the store before the
//! creating statement can check the account's quotas.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::UserId;

/// Uploads of one account at once. A client's parallel uploads rarely are more, and a refused one may be sent
/// again a second later.
const MOST: usize = 8;

/// The uploads in flight by account.
#[derive(Debug, Clone, Default)]
pub struct UploadsInFlight(Arc<Mutex<HashMap<UserId, usize>>>);

/// One upload. Dropping it ends it.
#[derive(Debug)]
pub struct UploadInFlight(UploadsInFlight, UserId);

impl UploadsInFlight {
    /// Begins an upload. `None` if the account has too many.
    #[must_use]
    pub fn begin(&self, user: UserId) -> Option<UploadInFlight> {
        let mut by_user = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_user.entry(user).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(UploadInFlight(self.clone(), user))
    }
}

impl Drop for UploadInFlight {
    fn drop(&mut self) {
        let mut by_user = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_user.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                by_user.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_ends_makes_room_for_its_account_alone() {
        let (uploads, busy, other) = (UploadsInFlight::default(), UserId::generate(), UserId::generate());
        let mut begun: Vec<_> = (0..MOST).map(|_| uploads.begin(busy).unwrap()).collect();
        assert!(uploads.begin(busy).is_none());
        assert!(uploads.begin(other).is_some());
        begun.pop();
        assert!(uploads.begin(busy).is_some());
        begun.clear();
        assert!(uploads.0.lock().unwrap().is_empty(), "nothing of an idle account stays");
    }
}
