//! Drills of the webhook-dispatcher.

pub(crate) mod deaths;
pub(crate) mod hanging;
