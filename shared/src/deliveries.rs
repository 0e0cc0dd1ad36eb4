//! Webhook deliveries: their states, which the run's view shows and the dispatcher changes, and the body that
//! it sends.

use serde::Serialize;

use crate::runs::RunView;
use crate::time::Time;

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Not attempted yet.
    Pending,
    /// Attempted without success. The next attempt is at `next_attempt_at`.
    Retrying,
    /// A receiver answered 2xx.
    Delivered,
    /// No further attempt follows.
    Failed,
}

impl DeliveryStatus {
    /// The stored and shown name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// The body of a webhook (Standard Webhooks 1.0).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Webhook))]
pub struct WebhookBody<'a> {
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = String, pattern = r"^run\.(completed|failed|cancelled)$")
    )]
    pub r#type: &'a str,
    pub timestamp: Time,
    /// The run as it ended, without `webhook`.
    pub data: RunView,
    /// What was left out because the body would be longer than 256 KiB.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<Vec<String>>, nullable = false, required = false)
    )]
    pub omitted: Vec<&'static str>,
}
