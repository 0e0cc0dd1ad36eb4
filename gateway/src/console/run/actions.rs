//! POST /runs/{id}/cancel and …/delete: what the API does, from the page.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::runs::{Cancelled, RunStatus};

use super::super::form::Form;
use super::super::page::see_other;
use super::super::visitor::Visitor;
use super::run_of;
use crate::context::Context;
use crate::error::ApiError;
use crate::runs::{Named, cancel_and_tell, delete_run, load};

/// The handler.
pub(in crate::console) async fn cancel(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let named = Named { run: run_of(&path)?, app: None };
    let back = form.text("back") == "runs";
    // In a task of its own: a browser that goes on must not keep the end from being told.
    let cancelling = actix_web::rt::spawn(cancel_and_tell(context.clone(), visitor.user(), named));
    let done = match cancelling.await.map_err(|_| ApiError::Internal)?? {
        Cancelled::Done { .. } | Cancelled::Over(RunStatus::Cancelled) => "",
        Cancelled::Over(status) if status.is_over() => "?done=finished",
        Cancelled::Over(_) => return Err(ApiError::Unavailable("the run is being changed; try again")),
        Cancelled::Unknown => return Err(ApiError::NotFound("run")),
    };
    if back {
        let app = load(&context, visitor.user(), named).await?.app_id;
        return Ok(see_other(&format!("/apps/{app}/runs")));
    }
    Ok(see_other(&format!("/runs/{}{done}", named.run)))
}

/// The handler.
pub(in crate::console) async fn delete(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    let named = Named { run: run_of(&path)?, app: None };
    let app = load(&context, visitor.user(), named).await?.app_id;
    delete_run(context, visitor.user(), named, visitor.actor()).await?;
    Ok(see_other(&format!("/apps/{app}/runs")))
}
