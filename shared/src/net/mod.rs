//! Which addresses a request on behalf of a user may reach, and the form of a URL that a user gives.
//! The gateway rejects a bad URL at once; the dispatcher and the worker check each resolved address again.

pub mod ip_policy;
pub mod public_url;
pub mod resolver;
