//! Bounds the uploads that are in flight in this process: those of one account, because each writes to the
//! store before the creating statement can check the account's quotas, and all of them, because each holds
//! memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::UserId;

/// Uploads of one account at once. A client's parallel uploads rarely are more, and a refused one may be sent
/// again a second later.
const MOST: usize = 8;

/// Uploads of all accounts at once. Each holds two parts of a file (see `shared::storage`) and the fields of
/// its form, so all hold less than 200 MiB.
const MOST_OF_ALL: usize = 128;

/// The uploads in flight by account.
#[derive(Debug, Clone, Default)]
pub struct UploadsInFlight(Arc<Mutex<HashMap<UserId, usize>>>);

/// Whose uploads are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooManyUploads {
    OfAccount,
    OfGateway,
}

/// One upload. Dropping it ends it.
#[derive(Debug)]
pub struct UploadInFlight(UploadsInFlight, UserId);

impl UploadsInFlight {
    /// Begins an upload.
    pub fn begin(&self, user: UserId) -> Result<UploadInFlight, TooManyUploads> {
        let mut by_user = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = by_user.get(&user).copied().unwrap_or_default();
        let (too_many, of) = if own >= MOST {
            (TooManyUploads::OfAccount, "account")
        } else if by_user.values().sum::<usize>() >= MOST_OF_ALL {
            (TooManyUploads::OfGateway, "gateway")
        } else {
            by_user.insert(user, own + 1);
            return Ok(UploadInFlight(self.clone(), user));
        };
        metrics::counter!("capi_uploads_refused_total", "limit" => of).increment(1);
        Err(too_many)
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
        assert_eq!(uploads.begin(busy).unwrap_err(), TooManyUploads::OfAccount);
        assert!(uploads.begin(other).is_ok());
        begun.pop();
        assert!(uploads.begin(busy).is_ok());
        begun.clear();
        assert!(uploads.0.lock().unwrap().is_empty(), "nothing of an idle account stays");
    }

    #[test]
    fn all_accounts_together_have_a_limit() {
        let uploads = UploadsInFlight::default();
        let mut begun: Vec<_> =
            (0..MOST_OF_ALL).map(|_| uploads.begin(UserId::generate()).unwrap()).collect();
        assert_eq!(uploads.begin(UserId::generate()).unwrap_err(), TooManyUploads::OfGateway);
        begun.pop();
        assert!(uploads.begin(UserId::generate()).is_ok());
    }
}
