//! POST /runs/{id}/cancel and …/delete: what the API does, from the page.

use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::Refusal;
use gateway_domain::runs::cancel::cancel as cancel_run;
use gateway_domain::runs::delete::delete as delete_run;
use gateway_domain::runs::{RunRef, get};

use super::super::form::Form;
use super::super::page::see_other;
use super::super::visitor::Visitor;
use super::run_of;
use crate::context::Context;
use crate::http::ApiError;

/// The handler.
pub(in crate::console) async fn cancel(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let run = RunRef::of_any_app(run_of(&path)?);
    let done = match cancel_run(&context.db, context.publisher(), visitor.user(), run).await {
        Ok(()) => "",
        Err(Refusal::RunAlreadyFinished(_)) => "?done=finished",
        Err(refusal) => return Err(refusal.into()),
    };
    if form.text("back") == "runs" {
        let app = get::load_summary(&context.db, &context.viewer, visitor.user(), run.run).await?.app_id;
        return Ok(see_other(&format!("/apps/{app}/runs")));
    }
    Ok(see_other(&format!("/runs/{}{done}", run.run)))
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
    let run = RunRef::of_any_app(run_of(&path)?);
    let app = get::load_summary(&context.db, &context.viewer, visitor.user(), run.run).await?.app_id;
    delete_run(&context.db, &context.artifacts, visitor.user(), run, visitor.actor()).await?;
    Ok(see_other(&format!("/apps/{app}/runs")))
}
