//! Webhook deliveries, as their owner sees them: listed, sent again, and tested. Tests (`ping`) are no part
//! of the list: their result is the answer to the request.

pub mod filters;
pub mod list;
pub mod redeliver;
mod shape;
pub mod test_ping;

pub use filters::Filters;
pub use shape::{Attempt, Delivery};

use shared::ids::{AppId, DeliveryId};

/// A delivery that a request names, and the one app whose runs a scoped key may see.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryRef {
    pub delivery: DeliveryId,
    pub app: Option<AppId>,
}
