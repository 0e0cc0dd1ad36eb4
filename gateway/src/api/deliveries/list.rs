//! GET /api/v1/webhook-deliveries: deliveries, newest first.

use actix_web::{HttpRequest, web};
use gateway_domain::deliveries::list::list;
use serde::Serialize;
use shared::deliveries::DeliveryStatus;
use utoipa::ToSchema;

use super::ShownDelivery;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, read_delivery_filters, read_page};

const DEFAULT_LIMIT: u32 = 20;

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeliveryList)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct DeliveryList {
    data: Vec<ShownDelivery>,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[utoipa::path(
    get, path = "/api/v1/webhook-deliveries", tag = "Webhooks", operation_id = "listWebhookDeliveries",
    summary = "List webhook deliveries",
    description = "Deliveries, newest first, with their attempts but without `responseBody`. A delivery must \
                   pass all filters. A cursor carries its filters. A key of one app sees the deliveries of \
                   that app's runs.",
    params(
        ("runId" = Option<uuid::Uuid>, Query, description = "Deliveries of this run"),
        ("status" = Option<Vec<DeliveryStatus>>, Query, description = "May repeat", explode = true),
        ("createdAfter" = Option<String>, Query, description = "RFC 3339", format = DateTime),
        ("createdBefore" = Option<String>, Query, description = "RFC 3339", format = DateTime),
        ("limit" = Option<u32>, Query, description = "Items at most, 20 by default",
            minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the previous page"),
    ),
    responses((status = 200, description = "A page of deliveries", body = DeliveryList)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<DeliveryList>, ApiError> {
    let mut query = Query::of(&request)?;
    let filters = read_delivery_filters(&mut query);
    let page = read_page(&mut query, DEFAULT_LIMIT, filters);
    query.end()?;
    let (found, next_cursor) = list(&context.db, caller.user, caller.app, &page, false).await?;
    Ok(web::Json(DeliveryList { data: found.into_iter().map(Into::into).collect(), next_cursor }))
}
