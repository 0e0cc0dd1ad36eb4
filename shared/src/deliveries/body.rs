//! The body of a webhook (Standard Webhooks 1.0).

use serde::Serialize;

use crate::runs::{RunView, ShownArtifact};
use crate::time::Time;

/// The body of a webhook (Standard Webhooks 1.0).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Webhook))]
pub struct WebhookBody<'a> {
    #[cfg_attr(feature = "openapi", schema(value_type = super::WebhookEvent))]
    pub r#type: &'a str,
    /// When the event occurred.
    pub timestamp: Time,
    /// The run without `webhook`: as it ended, as it started (`run.started`), or as it is at the time of
    /// the attempt (`run.artifact`).
    pub data: RunView,
    /// Of `run.artifact`: the file that the run published.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub artifact: Option<ShownArtifact>,
    /// What was left out because the body would be longer than 256 KiB.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<Vec<String>>, nullable = false, required = false)
    )]
    pub omitted: Vec<&'static str>,
}

/// The body of a test webhook.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = WebhookPing))]
pub struct PingBody {
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^(ping)$"))]
    pub r#type: &'static str,
    pub timestamp: Time,
    pub data: PingData,
}

/// Empty.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PingData {}
