//! POST /apps/{appId}/archive: out of use, or back.

use actix_web::{HttpRequest, HttpResponse, web};

use super::super::form::Form;
use super::super::page::see_other;
use super::super::stored::stored;
use super::super::visitor::Visitor;
use super::app_of;
use crate::apps::store;
use crate::context::Context;
use crate::error::ApiError;

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
    let (user, by, id) = (visitor.user(), visitor.actor(), app.id);
    let setting = context.db.write(|mut conn| async move {
        stored(store::set_archived(&mut conn, user, id, archived, by).await)
    });
    setting.await??;
    Ok(see_other(&format!("/apps/{id}/edit?done={}", if archived { "archived" } else { "restored" })))
}
