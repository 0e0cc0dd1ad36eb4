//! POST /sign-out: the session is over at once, for every gateway.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};

use super::super::form::Form;
use super::super::page::see_other;
use super::super::visitor::{FreshCookie, Visitor};
use crate::auth::sessions;
use crate::context::Context;
use crate::error::ApiError;

/// The handler.
pub(in crate::console) async fn handle(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    let (session, by) = (&visitor.session, visitor.actor());
    context.db.write(|mut conn| async move { sessions::end(&mut conn, session, by).await }).await?;
    request.extensions_mut().insert(FreshCookie(context.console.cookies.take()));
    Ok(see_other("/sign-in"))
}
