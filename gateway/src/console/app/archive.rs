//! POST /apps/{appId}/archive: out of use, or back.

use actix_web::{HttpRequest, HttpResponse, web};

use super::super::form::Form;
use super::super::page::see_other;
use super::super::visitor::Visitor;
use super::app_of;
use crate::context::Context;
use crate::http::ApiError;
use gateway_domain::apps::store;

/// The handler.
pub(in crate::console) async fn handle(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let app = app_of(&context, &visitor, &path).await?;
    let archived = form.text("archived") == "true";
    store::set_archived(&context.db, visitor.user(), app.id, archived, visitor.actor()).await?;
    Ok(see_other(&format!("/apps/{}/edit?done={}", app.id, if archived { "archived" } else { "restored" })))
}
