//! Accounts: users with their passwords and sessions, API keys, the rate limit, webhook secrets, usage, and
//! the audit log of all changes.

mod api_key;
pub mod audit;
pub mod keys;
pub mod passwords;
pub mod quotas;
pub mod rate_limit;
mod scopes;
pub mod sessions;
pub mod usage;
pub mod users;
pub mod webhook_secret;

pub use api_key::{ApiKey, KeyHash};
pub use audit::Actor;
pub use scopes::{Scope, Scopes, UnknownScope};
