//! GET /api/v1/models: what `chatModelId` accepts.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use shared::config::Model;

use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::Query;

/// The handler.
#[utoipa::path(
    get, path = "/api/v1/models", tag = "Account", operation_id = "listModels", summary = "List models",
    description = "The language models of this installation: what `chatModelId` accepts.",
    responses((status = 200, description = "All models", body = crate::openapi::ModelList)),
)]
pub async fn handle(
    _: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    let default = &context.models.default_model().id;
    let data: Vec<_> = context.models.all().iter().map(|model| shown(model, default)).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data })))
}

fn shown(model: &Model, default: &str) -> Value {
    json!({
        "id": model.id, "name": model.name, "default": model.id == default, "tools": model.tools,
        "jsonSchema": model.json_schema, "contextWindow": model.context_window,
    })
}
