//! POST /sign-out: ends the session at once, on every gateway.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use gateway_domain::accounts::sessions;

use crate::console::Console;
use crate::console::form::SignedForm;
use crate::console::page::see_other;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::middleware::SetCookie;

pub(crate) async fn handle(
    SignedForm { sender: visitor, .. }: SignedForm,
    request: HttpRequest,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    sessions::end(&context.db, &visitor.session, visitor.actor()).await?;
    request.extensions_mut().insert(SetCookie(console.cookies.take()));
    Ok(see_other("/sign-in"))
}
