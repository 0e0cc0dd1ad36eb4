//! Passwords: argon2id, outside the async threads, and few at once: each hash takes 19 MiB and tens of
//! milliseconds of processor time on purpose.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The shortest password.
pub const MIN_CHARS: usize = 10;
/// The longest password: a hash reads all of its bytes.
pub const MAX_BYTES: usize = 1024;
/// OWASP's minimum for argon2id: 19 MiB, two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// Hashes at once in one process.
const AT_ONCE: usize = 2;
/// Those of sign-ups among them: everyone may sign up, and users who sign in must not wait for that.
const SIGN_UPS_AT_ONCE: usize = 1;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// Hashes and verifies passwords, [`AT_ONCE`] at a time.
#[derive(Clone)]
pub struct Passwords {
    threads: mpsc::Sender<Job>,
    turns: Arc<Semaphore>,
    sign_ups: Arc<Semaphore>,
    /// Compared with if there is no account, so that both cases take the same time.
    placeholder: Arc<str>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Why a password was neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("too many passwords are being checked at the moment")]
    Busy,
    /// The stored hash is invalid, or memory is missing.
    #[error("failed to hash a password: {0}")]
    Hash(String),
}

/// What is wrong with a new password, in words.
#[must_use]
pub fn too_weak(password: &str) -> Option<String> {
    if password.chars().count() < MIN_CHARS {
        return Some(format!("the password must have at least {MIN_CHARS} characters"));
    }
    (password.len() > MAX_BYTES).then(|| format!("the password must have at most {MAX_BYTES} bytes"))
}

impl Passwords {
    pub fn new() -> Result<Self, PasswordError> {
        Ok(Self {
            threads: start_threads().map_err(failed)?,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            sign_ups: Arc::new(Semaphore::new(SIGN_UPS_AT_ONCE)),
            placeholder: hash("no account")?.into(),
        })
    }

    /// The hash of a new password, as it is stored.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        self.in_turn(move || hash(password.expose_secret())).await
    }

    /// The hash of a new account's password. Sign-ups wait for each other.
    pub async fn hash_of_sign_up(&self, password: SecretString) -> Result<String, PasswordError> {
        let sign_up = turn_of(&self.sign_ups).await?;
        self.in_turn(move || {
            let hashed = hash(password.expose_secret());
            drop(sign_up);
            hashed
        })
        .await
    }

    /// Whether this is the password of the stored hash. `None` stands for an account that does not exist.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.placeholder.to_string());
        let same = self.in_turn(move || verify(password.expose_secret(), &stored)).await?;
        Ok(same && known)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = turn_of(&self.turns).await?;
        let (done, doing) = oneshot::channel();
        // The job holds the permit: a client that disconnects does not end the work.
        let job = move || {
            let result = work();
            drop(turn);
            let _ = done.send(result);
        };
        self.threads.send(Box::new(job)).map_err(failed)?;
        doing.await.map_err(failed)?
    }
}

/// Threads of their own. The C library keeps the memory of each thread that hashed, so few threads keep
/// little. They end with the last sender.
fn start_threads() -> std::io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..AT_ONCE {
        let jobs = Arc::clone(&jobs);
        std::thread::Builder::new().name("passwords".to_owned()).spawn(move || {
            loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(job) = job else { return };
                // Its caller learns of a panic from the dropped channel.
                drop(catch_unwind(AssertUnwindSafe(job)));
            }
        })?;
    }
    Ok(sender)
}

async fn turn_of(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, PasswordError> {
    let waiting = tokio::time::timeout(TURN, Arc::clone(turns).acquire_owned()).await;
    waiting.ok().and_then(Result::ok).ok_or(PasswordError::Busy)
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &str) -> Result<String, PasswordError> {
    argon2()?.hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(failed)
}

fn verify(password: &str, stored: &str) -> Result<bool, PasswordError> {
    match argon2()?.verify_password(password.as_bytes(), stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_same_password_verifies() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("correct house".into(), Some(stored)).await.unwrap());
        assert!(!passwords.verify("no account".into(), None).await.unwrap(), "there is no account");
        assert!(passwords.verify("x".into(), Some("no hash".into())).await.is_err());
    }

    /// Hundreds of sign-ups would keep both places for longer than a sign-in waits.
    #[tokio::test]
    async fn sign_ups_leave_a_place_for_sign_ins() {
        let passwords = Passwords::new().unwrap();
        let sign_ups: Vec<_> = (0..1000)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.hash_of_sign_up("correct horse".into()).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..3 {
            assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
        }
        assert!(sign_ups.iter().filter(|sign_up| sign_up.is_finished()).count() < 500, "they waited");
        sign_ups.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        assert!(too_weak("123456789").is_some() && too_weak(&"x".repeat(1025)).is_some());
        assert_eq!(too_weak("éééééééééé"), None);
    }
}
