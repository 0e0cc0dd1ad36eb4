//! Which addresses a request on behalf of a user may reach, and the form of a URL that a user gives.
//! The gateway rejects a bad URL at once. Dispatcher and worker send the requests through the crate
//! `public-client`, which checks every address again.

pub mod certificate;
pub mod failure;
pub mod host_rule;
pub mod ip_policy;
pub mod public_url;
