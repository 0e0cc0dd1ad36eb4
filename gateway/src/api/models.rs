//! GET /api/v1/models: the models that `chatModelId` accepts.

use actix_web::{HttpRequest, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

/// A language model.
#[expect(clippy::struct_excessive_bools, reason = "each is one ability of a model")]
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Model {
    id: String,
    name: String,
    /// Used if neither the run nor the app names a model.
    default: bool,
    tools: bool,
    /// Whether it sees pictures among a run's files.
    vision: bool,
    json_schema: bool,
    /// Whether it is capi's demo model: a script, not a language model. It plays the sample apps.
    demo: bool,
    /// Tokens.
    #[schema(required)]
    context_window: Option<u32>,
}

/// All models.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelList {
    data: Vec<Model>,
}

#[utoipa::path(
    get, path = "/api/v1/models", tag = "Account", operation_id = "listModels", summary = "List models",
    description = "The language models of this installation: what `chatModelId` accepts.",
    responses((status = 200, description = "All models", body = ModelList)),
)]
pub(super) async fn handle(
    _: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<ModelList>, ApiError> {
    Query::none(&request)?;
    let default = &context.models.default_model().id;
    let models = context.models.all().iter().map(|model| Model {
        id: model.id.clone(),
        name: model.name.clone(),
        default: model.id == *default,
        tools: model.tools,
        vision: model.vision,
        json_schema: model.settings().structured_output.is_enforced(),
        demo: model.is_demo(),
        context_window: model.context_window,
    });
    Ok(web::Json(ModelList { data: models.collect() }))
}
