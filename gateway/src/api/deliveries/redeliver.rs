//! POST /api/v1/webhook-deliveries/{deliveryId}/redeliver

use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::deliveries::redeliver::redeliver;

use super::{ShownDelivery, delivery_in_path};
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

#[utoipa::path(
    post, path = "/api/v1/webhook-deliveries/{deliveryId}/redeliver", tag = "Webhooks",
    operation_id = "redeliverWebhook", summary = "Send a webhook again",
    description = "Sends a delivery again that is delivered or failed: with the same `webhook-id`, a new \
                   `webhook-timestamp`, and a fresh schedule of attempts, whose numbers go on.",
    params(("deliveryId" = uuid::Uuid, Path, description = "The delivery's id, which is its `webhook-id`")),
    responses((status = 202, description = "The delivery, which is due now", body = ShownDelivery)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    let of = delivery_in_path(&caller, &request)?;
    let delivery = redeliver(&context.db, context.publisher(), caller.user, of).await?;
    Ok(HttpResponse::Accepted().json(ShownDelivery::from(delivery)))
}
