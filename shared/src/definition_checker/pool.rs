//! The checker processes of a service, and which task may use one when.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::CheckError;
use super::child::{CheckerProcess, Lost};
use super::protocol::Answer;
use crate::ids::UserId;

/// Processes at once. An account uses one of them at most, so that it does not delay the others.
const PROCESSES: usize = 4;
/// How long an account stays in the queue of costly accounts, which has one place.
const COSTLY_FOR: Duration = Duration::from_mins(10);
const MAX_COSTLY_ACCOUNTS: usize = 10_000;
/// Between tries to start a process.
const START_PAUSE: Duration = Duration::from_millis(300);
/// An unused process ends after this time.
const IDLE_LIMIT: Duration = Duration::from_mins(1);
/// Tries of a task whose process ended for a reason outside the task.
const TRIES: usize = 3;

pub(super) struct Pool {
    program: PathBuf,
    /// How long a task waits for the account's turn and for a free process.
    patience: Duration,
    /// Tasks of one account at once.
    most_tasks: usize,
    places: Semaphore,
    /// The one place of accounts whose tasks lately cost much. They wait for each other, not others for them.
    costly_place: Semaphore,
    costly: Mutex<HashMap<UserId, Instant>>,
    pub(super) idle: Mutex<Vec<(CheckerProcess, Instant)>>,
    /// The turn of each account that has tasks, and how many it has.
    pub(super) turns: Mutex<HashMap<UserId, (Arc<Semaphore>, usize)>>,
}

impl Pool {
    /// Fails if the program does not start.
    pub(super) fn start(
        program: PathBuf,
        patience: Duration,
        most_tasks: usize,
    ) -> anyhow::Result<Arc<Self>> {
        let first = CheckerProcess::start(&program)
            .map_err(|error| anyhow::anyhow!("cannot start {}: {error}", program.display()))?;
        let pool = Arc::new(Self {
            program,
            patience,
            most_tasks,
            places: Semaphore::new(PROCESSES),
            costly_place: Semaphore::new(1),
            costly: Mutex::default(),
            idle: Mutex::new(vec![(first, Instant::now())]),
            turns: Mutex::default(),
        });
        let pruned = Arc::downgrade(&pool);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE_LIMIT / 2).await;
                let Some(pool) = pruned.upgrade() else { return };
                lock(&pool.idle).retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
            }
        });
        Ok(pool)
    }

    /// The turn of an account, which each of its tasks holds until it ends.
    pub(super) fn turn_of(self: &Arc<Self>, account: UserId) -> Result<Turn, CheckError> {
        let mut turns = lock(&self.turns);
        let (one, tasks) = turns.entry(account).or_insert_with(|| (Arc::new(Semaphore::new(1)), 0));
        if *tasks >= self.most_tasks {
            return Err(CheckError::Busy);
        }
        *tasks += 1;
        Ok(Turn { pool: Arc::clone(self), account, one: Arc::clone(one) })
    }

    pub(super) fn is_costly(&self, account: UserId) -> bool {
        lock(&self.costly).get(&account).is_some_and(|since| since.elapsed() < COSTLY_FOR)
    }

    pub(super) fn note_costly(&self, account: UserId) {
        let mut costly = lock(&self.costly);
        costly.retain(|_, since| since.elapsed() < COSTLY_FOR);
        if costly.len() < MAX_COSTLY_ACCOUNTS {
            costly.insert(account, Instant::now());
        }
    }
}

/// The place of one task among those of its account.
pub(super) struct Turn {
    pool: Arc<Pool>,
    account: UserId,
    one: Arc<Semaphore>,
}

impl Turn {
    /// Works on a task when the turn comes.
    pub(super) async fn work(&self, kind: &'static str, task: &[u8]) -> Result<Answer, CheckError> {
        let answered = self.answer(kind, task).await;
        let outcome = match &answered {
            Ok(Answer::Refused(_)) | Err(CheckError::Refused(_)) => "refused",
            Ok(_) => "done",
            Err(CheckError::Busy | CheckError::Unavailable(_)) => "unavailable",
        };
        count(kind, outcome);
        match answered? {
            Answer::Refused(why) => Err(CheckError::Refused(why)),
            answer => Ok(answer),
        }
    }

    async fn answer(&self, kind: &'static str, task: &[u8]) -> Result<Answer, CheckError> {
        let (pool, account) = (&self.pool, self.account);
        let places = async {
            let turn = self.one.acquire().await;
            let costly = if pool.is_costly(account) { Some(pool.costly_place.acquire().await) } else { None };
            (turn, costly, pool.places.acquire().await)
        };
        let Ok((Ok(_held), _costly, Ok(_place))) = timeout(pool.patience, places).await else {
            return Err(CheckError::Unavailable("too many checks wait".to_owned()));
        };
        let mut last = String::new();
        for _ in 0..TRIES {
            let waiting = lock(&pool.idle).pop();
            let started = match waiting {
                Some((process, _)) => Ok(process),
                None => CheckerProcess::start(&pool.program),
            };
            let mut process = match started {
                Ok(process) => process,
                Err(error) => {
                    last = error.to_string();
                    tokio::time::sleep(START_PAUSE).await;
                    continue;
                }
            };
            match process.answer(task).await {
                Ok(answer) => {
                    if process.was_costly() {
                        pool.note_costly(account);
                    }
                    if process.is_fit() {
                        lock(&pool.idle).push((process, Instant::now()));
                    }
                    return Ok(answer);
                }
                Err(Lost::Gone(why)) => last = why,
                Err(cause) => {
                    if !matches!(cause, Lost::Panicked) || process.was_costly() {
                        pool.note_costly(account);
                    }
                    return Err(ended(account, kind, &cause));
                }
            }
        }
        tracing::error!(why = last, "the definition checker ends without an answer");
        Err(CheckError::Unavailable(last))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = lock(&self.pool.turns);
        if let Some((_, tasks)) = turns.get_mut(&self.account) {
            *tasks -= 1;
            if *tasks == 0 {
                turns.remove(&self.account);
            }
        }
    }
}

pub(super) fn count(kind: &'static str, outcome: &'static str) {
    metrics::counter!("capi_definition_checks_total", "of" => kind, "outcome" => outcome).increment(1);
}

/// The refusal of a definition that ended its process.
fn ended(account: UserId, kind: &'static str, lost: &Lost) -> CheckError {
    let reason = match lost {
        Lost::Slow => "time",
        Lost::Panicked => "panic",
        Lost::Crashed | Lost::Gone(_) => "memory",
    };
    metrics::counter!("capi_definition_checkers_ended_total", "of" => kind, "reason" => reason).increment(1);
    tracing::warn!(user_id = %account, of = kind, reason, "a definition ended its checker process");
    CheckError::Refused(match lost {
        Lost::Panicked => format!(
            "cannot be used: the {} fails on it; write the part that was changed last in another way",
            if kind == "prompt" { "template engine" } else { "schema validator" }
        ),
        _ => format!("needs too much {reason}; make it simpler"),
    })
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
