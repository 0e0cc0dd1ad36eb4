//! POST /apps/{appId}/archive: archives the app, or restores it.

use actix_web::{HttpResponse, web};
use gateway_domain::apps::archive;

use crate::console::app_refusal::store_refusal;
use crate::console::form::SignedForm;
use crate::console::owned::OwnApp;
use crate::console::page::see_other;
use crate::context::Context;
use crate::http::ApiError;

pub(crate) async fn handle(
    SignedForm { sender: OwnApp { visitor, app }, form }: SignedForm<OwnApp>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let archived = form.text("archived") == "true";
    archive::set_archived(&context.db, visitor.user(), app.id, archived, visitor.actor())
        .await
        .map_err(store_refusal)?;
    Ok(see_other(&format!("/apps/{}/edit?done={}", app.id, if archived { "archived" } else { "restored" })))
}
