//! Who is asking: programs by their keys (the form, the guards in front of the database, the one statement that checks it),
//! people by their passwords and sessions.

pub mod accounts;
mod admit;
mod api_key;
mod attempts;
mod caller;
mod flood;
pub mod keys;
mod passwords;
mod refusals;
pub mod sessions;

pub use admit::{ADMIT, Admission, Window, admit};
pub use api_key::{ApiKey, KeyHash};
pub use attempts::Attempts;
pub use caller::Caller;
pub use flood::{Flood, FloodGuard, TIDY_EVERY};
pub use passwords::{
    MAX_BYTES as MAX_PASSWORD_BYTES, MIN_CHARS as MIN_PASSWORD_CHARS, PasswordError, Passwords, too_weak,
};
pub use refusals::Refusals;
