//! Webhook deliveries: their events, states and errors, which gateway, worker and dispatcher share, and the
//! body that the dispatcher sends.

mod body;
mod error;
mod event;
mod status;

pub use body::{PingBody, PingData, WebhookBody};
pub use error::DeliveryError;
pub use event::{PING, PING_WAIT, WebhookEvent};
pub use status::DeliveryStatus;
