//! Where requests on behalf of a user may go: the address policy, and the shape of a webhook URL. The gateway
//! refuses literals at once, the dispatcher checks every resolved address again; both must agree.

pub mod ip_policy;
pub mod webhook_url;
