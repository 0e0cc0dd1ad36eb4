//! POST /sign-out: the session is over at once, for every gateway.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};

use super::super::Console;
use super::super::form::Form;
use super::super::page::see_other;
use super::super::visitor::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::middleware::SetCookie;
use gateway_domain::accounts::sessions;

/// The handler.
pub(in crate::console) async fn handle(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    sessions::end(&context.db, &visitor.session, visitor.actor()).await?;
    request.extensions_mut().insert(SetCookie(console.cookies.take()));
    Ok(see_other("/sign-in"))
}
