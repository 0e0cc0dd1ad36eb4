//! POST /runs/{id}/cancel and POST /runs/{id}/delete.

use actix_web::{HttpResponse, web};
use gateway_domain::Refusal;
use gateway_domain::runs::cancel::cancel as cancel_run;
use gateway_domain::runs::delete::delete as delete_run;
use gateway_domain::runs::get;

use crate::console::form::SignedForm;
use crate::console::owned::OwnRun;
use crate::console::page::see_other;
use crate::context::Context;
use crate::http::ApiError;

pub(crate) async fn cancel(
    SignedForm { sender: OwnRun { visitor, run }, form }: SignedForm<OwnRun>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
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

pub(crate) async fn delete(
    SignedForm { sender: OwnRun { visitor, run }, .. }: SignedForm<OwnRun>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let app = get::load_summary(&context.db, &context.viewer, visitor.user(), run.run).await?.app_id;
    delete_run(&context.db, &context.artifacts, visitor.user(), run, visitor.actor()).await?;
    Ok(see_other(&format!("/apps/{app}/runs")))
}
