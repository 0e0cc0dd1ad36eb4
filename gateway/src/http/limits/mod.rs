//! The guards in front of the database, each in this process alone: they keep clients that ignore every
//! refusal from costing statements. The exact rate limit is `gateway_domain::accounts::rate_limit`.

mod attempts;
mod flood;
mod in_flight;
mod log_budget;
mod proxies;
mod refusals;
mod refused_uploads;
mod reports;
mod streams;
mod throttle;
mod unread;

pub use attempts::Attempts;
pub use flood::{Flood, FloodGuard, PRUNE_EVERY};
pub use in_flight::{InFlight, InFlightShare, TooMuchInFlight};
pub use log_budget::LogBudget;
pub use proxies::UnlistedProxies;
pub use refusals::Refusals;
pub use refused_uploads::RefusedUploads;
pub use reports::Reports;
pub use streams::{MAX_STREAMS, OpenStream, OpenStreams, TooManyStreams};
pub use throttle::Throttle;
pub use unread::{LARGE, TooManyUnread, Unread, UnreadAnswers};
