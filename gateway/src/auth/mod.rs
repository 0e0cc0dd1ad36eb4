//! Who is asking: the key's form, the guards in front of the database, and the one statement that checks it.

mod admit;
mod api_key;
mod caller;
mod flood;
pub mod keys;
mod refusals;

pub use admit::{ADMIT, Admission, Window, admit};
pub use api_key::{ApiKey, KeyHash};
pub use caller::Caller;
pub use flood::{Flood, FloodGuard, TIDY_EVERY};
pub use refusals::Refusals;
