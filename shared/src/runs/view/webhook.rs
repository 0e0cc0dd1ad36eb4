//! The webhook of the end of a run, as the run shows it.

use serde::{Deserialize, Serialize};
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use crate::db::Json;
#[cfg(feature = "openapi")]
use crate::deliveries::DeliveryError;
use crate::ids::DeliveryId;
use crate::time::Time;

/// The webhook of a run: null without one, left out in the body of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Webhook {
    State(WebhookState),
    None,
    #[serde(skip)]
    LeftOut,
}

impl Webhook {
    pub(super) fn is_left_out(webhook: &Json<Self>) -> bool {
        webhook.0 == Self::LeftOut
    }

    #[must_use]
    pub const fn state(&self) -> Option<&WebhookState> {
        if let Self::State(state) = self { Some(state) } else { None }
    }
}

/// The state of the webhook of the run's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookState {
    /// `skipped`: the run ended with an event that `webhookEvents` does not list.
    #[cfg_attr(feature = "openapi", schema(pattern = "^(pending|retrying|delivered|failed|skipped)$"))]
    pub status: String,
    /// The `webhook-id`, once there is a delivery.
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<Uuid>))]
    pub delivery_id: Option<DeliveryId>,
    /// Attempts so far.
    pub attempts: i32,
    /// Why the last attempt failed.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_error: Option<WebhookFailure>,
    /// When the next attempt is due.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next_attempt_at: Option<Time>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct WebhookFailure {
    // One that only a later version knows is shown as it is.
    #[cfg_attr(feature = "openapi", schema(value_type = DeliveryError))]
    pub code: String,
    pub message: String,
}
