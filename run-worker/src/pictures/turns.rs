//! Which run may read its pictures when, and how much memory the pictures of all runs have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use shared::ids::UserId;
use tokio::sync::{AcquireError, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

const MIB: usize = 1 << 20;
/// MiB of the pictures that a worker holds. A run holds its pictures until it ends. A request that is sent
/// has two more copies of them, so pictures take at most 768 MiB.
const WORKER_MIB: u32 = 256;
/// MiB of an account's pictures. Its runs never take all, so others need not wait until these runs end.
const ACCOUNT_MIB: u32 = WORKER_MIB / 2;

pub(super) struct Turns {
    memory: Arc<Semaphore>,
    /// The accounts with a run that reads or holds pictures. Others are removed with the next new account.
    accounts: Mutex<HashMap<UserId, Weak<Account>>>,
}

#[derive(Debug)]
struct Account {
    turn: Arc<tokio::sync::Mutex<()>>,
    memory: Arc<Semaphore>,
}

/// Memory for the pictures of a run, until it is dropped.
#[derive(Debug)]
pub struct PictureMemory {
    of_account: OwnedSemaphorePermit,
    of_worker: OwnedSemaphorePermit,
    /// The next run of the account must find the same account.
    _account: Arc<Account>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { memory: semaphore(WORKER_MIB), accounts: Mutex::default() }
    }

    /// Waits until no other run of the account reads pictures, and then for the memory. A run takes all its
    /// memory before it reads, so two runs cannot wait for each other.
    pub(super) async fn take(
        &self,
        account: UserId,
        bytes: usize,
    ) -> Result<(OwnedMutexGuard<()>, PictureMemory), AcquireError> {
        let account = self.account(account);
        let turn = Arc::clone(&account.turn).lock_owned().await;
        // More than there is could never be taken.
        let needed = mib(bytes).min(ACCOUNT_MIB);
        let of_account = Arc::clone(&account.memory).acquire_many_owned(needed).await?;
        let of_worker = Arc::clone(&self.memory).acquire_many_owned(needed).await?;
        Ok((turn, PictureMemory { of_account, of_worker, _account: account }))
    }

    fn account(&self, id: UserId) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(&id).and_then(Weak::upgrade) {
            return account;
        }
        accounts.retain(|_, account| account.strong_count() > 0);
        let account = Arc::new(Account { turn: Arc::default(), memory: semaphore(ACCOUNT_MIB) });
        accounts.insert(id, Arc::downgrade(&account));
        account
    }
}

impl PictureMemory {
    /// Gives back what so many bytes do not need.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let kept = mib(bytes) as usize;
        for permit in [&mut self.of_account, &mut self.of_worker] {
            drop(permit.split(permit.num_permits().saturating_sub(kept)));
        }
    }
}

fn semaphore(mib: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(mib as usize))
}

fn mib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use shared::media_types::MAX_PICTURES;

    use super::*;
    use crate::pictures::most_bytes;

    /// `None` if the run has to wait.
    fn try_take(
        turns: &Turns,
        account: UserId,
        bytes: usize,
    ) -> Option<(OwnedMutexGuard<()>, PictureMemory)> {
        turns.take(account, bytes).now_or_never().map(Result::unwrap)
    }

    #[test]
    fn an_account_with_many_pictures_delays_no_other() {
        let (turns, busy, other) = (Turns::new(), UserId::generate(), UserId::generate());
        let (turn, held) = try_take(&turns, busy, MIB).unwrap();
        assert!(try_take(&turns, busy, MIB).is_none());
        assert!(try_take(&turns, other, MIB).is_some());
        drop(turn);
        assert!(try_take(&turns, busy, MIB).is_some(), "while the pictures are held");
        drop(held);
        assert!(try_take(&turns, UserId::generate(), MIB).is_some());
        assert_eq!(turns.accounts.lock().unwrap().len(), 1, "accounts without pictures are removed");
    }

    #[test]
    fn pictures_have_limited_memory_until_their_run_ends() {
        let (turns, account) = (Turns::new(), UserId::generate());
        let most = ACCOUNT_MIB as usize * MIB;
        assert!(most_bytes(&[u64::MAX; MAX_PICTURES]) <= most, "one run always fits");
        let (_, mut first) = try_take(&turns, account, most).unwrap();
        assert!(try_take(&turns, account, 1).is_none());
        let (_, second) = try_take(&turns, UserId::generate(), most).unwrap();
        assert!(try_take(&turns, UserId::generate(), 1).is_none(), "two accounts have all");
        first.shrink_to(most - MIB - 1);
        assert!(try_take(&turns, account, MIB).is_some());
        assert!(try_take(&turns, account, MIB + 1).is_none());
        drop((first, second));
        assert!(try_take(&turns, account, usize::MAX).is_some(), "never more than there is");
    }
}
