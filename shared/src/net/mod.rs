//! Where requests on behalf of a user may go: the address policy, look-ups under it, and the shape of a webhook URL.
//! The gateway refuses literals at once, dispatcher and run-worker check every resolved address; all must agree.

pub mod ip_policy;
pub mod resolver;
pub mod webhook_url;
