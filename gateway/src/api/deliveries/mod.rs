//! Webhook deliveries: one endpoint a file, and the shape that they share.

pub(super) mod get;
pub(super) mod list;
pub(super) mod redeliver;
pub(super) mod test;

use actix_web::HttpRequest;
use gateway_domain::deliveries::{Attempt, Delivery, DeliveryRef};
use serde::Serialize;
use shared::deliveries::{DeliveryError, DeliveryStatus, WebhookEvent};
use shared::ids::{DeliveryId, RunId};
use shared::time::Time;
use utoipa::ToSchema;

use super::Caller;
use crate::http::ApiError;

/// A webhook of an event of a run, with its attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownDelivery {
    /// The `webhook-id` of its requests.
    #[schema(value_type = Uuid)]
    id: DeliveryId,
    #[schema(value_type = Uuid)]
    run_id: RunId,
    #[schema(value_type = WebhookEvent)]
    r#type: String,
    url: String,
    #[schema(value_type = DeliveryStatus)]
    status: String,
    /// When the next attempt is due. It is in the past while that attempt waits or is in flight.
    #[schema(required)]
    next_attempt_at: Option<Time>,
    /// When the event occurred.
    created_at: Time,
    /// The latest 20, oldest first.
    attempts: Vec<ShownAttempt>,
}

/// One attempt of a delivery.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownAttempt {
    /// From 1. The numbers go on when the delivery is sent again.
    number: i32,
    at: Time,
    duration_ms: i32,
    #[schema(required)]
    status_code: Option<i32>,
    /// Null if the receiver took the webhook.
    #[schema(required, value_type = Option<DeliveryError>)]
    error: Option<String>,
    /// A sentence beside the error.
    #[schema(required)]
    error_message: Option<String>,
    /// The first KiB of the answer, if it came from a public address. Null in lists.
    #[schema(required)]
    response_body: Option<String>,
}

impl From<Delivery> for ShownDelivery {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            run_id: delivery.run_id,
            r#type: delivery.r#type,
            url: delivery.url,
            status: delivery.status,
            next_attempt_at: delivery.next_attempt_at.map(Time),
            created_at: Time(delivery.created_at),
            attempts: delivery.attempts.into_iter().map(|attempt| attempt.0.into()).collect(),
        }
    }
}

impl From<Attempt> for ShownAttempt {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            at: attempt.at,
            duration_ms: attempt.duration_ms,
            status_code: attempt.status_code,
            error: attempt.error,
            error_message: attempt.error_message,
            response_body: attempt.response_body,
        }
    }
}

/// The delivery that the path names. A key of one app sees the deliveries of that app's runs.
fn delivery_in_path(caller: &Caller, request: &HttpRequest) -> Result<DeliveryRef, ApiError> {
    let id = request.match_info().get("deliveryId").and_then(|id| id.parse().ok());
    let delivery = id.ok_or(ApiError::not_found("delivery"))?;
    Ok(DeliveryRef { delivery, app: caller.app })
}
