//! GET /api/v1/webhook-deliveries/{deliveryId}

use actix_web::{HttpRequest, web};
use gateway_domain::deliveries::list::get;

use super::{ShownDelivery, delivery_in_path};
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

#[utoipa::path(
    get, path = "/api/v1/webhook-deliveries/{deliveryId}", tag = "Webhooks",
    operation_id = "getWebhookDelivery", summary = "Get a webhook delivery",
    description = "The delivery with its attempts and the beginning of each answer.",
    params(("deliveryId" = uuid::Uuid, Path, description = "The delivery's id, which is its `webhook-id`")),
    responses((status = 200, description = "The delivery", body = ShownDelivery)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<ShownDelivery>, ApiError> {
    Query::none(&request)?;
    let of = delivery_in_path(&caller, &request)?;
    Ok(web::Json(get(&context.db, caller.user, of).await?.into()))
}
