//! Webhooks: the secret that they are signed with, revealed and rotated.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::webhook_secret;
use secrecy::ExposeSecret;
use shared::webhook_secrets::SecretsError;

use super::super::Console;

use super::super::form::Form;
use super::super::page::{Frame, see_other, show};
use super::super::visitor::Visitor;
use super::Tab;
use crate::context::Context;
use crate::http::ApiError;

#[derive(Template)]
#[template(path = "account/webhooks.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    secret: Option<String>,
    /// Two are valid for a day after a rotation.
    active: usize,
    /// The id of the one that is current.
    seen: String,
}

/// GET /account/webhooks
pub(in crate::console) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [(
        "rotated",
        "There is a new secret. The one before it stays valid for 24 hours: put the new one into your receivers meanwhile.",
    )];
    let active = webhook_secret::active(&context.db, &console.encryption_key, visitor.user())
        .await
        .map_err(refused)?;
    let frame = Tab::Webhooks.frame(&visitor).noticing(&request, &NOTICES);
    show(&Page {
        frame,
        tab: Tab::Webhooks,
        secret: None,
        active: active.secrets.len(),
        seen: active.current,
    })
}

/// POST /account/webhooks/reveal
pub(in crate::console) async fn reveal(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    let (key, user, by) = (&console.encryption_key, visitor.user(), visitor.actor());
    let active = webhook_secret::reveal(&context.db, key, user, by).await.map_err(refused)?;
    let count = active.secrets.len();
    let secret = active.secrets.into_iter().next().map(|secret| secret.expose_secret().to_owned());
    let frame = Tab::Webhooks.frame(&visitor);
    show(&Page { frame, tab: Tab::Webhooks, secret, active: count, seen: active.current })
}

/// POST /account/webhooks/rotate: once for each time that the page was opened. Rotating twice would end the secret that receivers
/// have still at once, and a form may be sent again by a reload.
pub(in crate::console) async fn rotate(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let (key, user, by) = (&console.encryption_key, visitor.user(), visitor.actor());
    let seen = Some(form.text("seen"));
    webhook_secret::rotate(&context.db, key, user, seen, by).await.map_err(refused)?;
    Ok(see_other("/account/webhooks?done=rotated"))
}

fn refused(error: SecretsError) -> ApiError {
    match error {
        SecretsError::Db(error) => error.into(),
        error => ApiError::fault(&error),
    }
}
