//! Webhooks: shows and rotates the secret that signs them.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::webhook_secret;
use secrecy::ExposeSecret;
use shared::webhook_secrets::SecretsError;

use super::Tab;
use crate::console::Console;
use crate::console::form::SignedForm;
use crate::console::page::{Frame, see_other, show};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;

#[derive(Template)]
#[template(path = "account/webhooks.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    secret: Option<String>,
    /// Valid secrets: two for a day after a rotation.
    active: usize,
    /// The id of the newest secret.
    current: String,
}

/// GET /account/webhooks
pub(crate) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [(
        "rotated",
        "Secret rotated. The former one stays valid for 24 hours: set the new one in your receivers now.",
    )];
    let found = webhook_secret::active(&context.db, &console.encryption_key, visitor.user())
        .await
        .map_err(refused)?;
    let frame = Tab::Webhooks.frame(&visitor).with_notice(&request, &NOTICES);
    let active = found.secrets.len();
    show(&Page { frame, tab: Tab::Webhooks, secret: None, active, current: found.current })
}

/// POST /account/webhooks/reveal
pub(crate) async fn reveal(
    SignedForm { sender: visitor, .. }: SignedForm,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    let (key, user, by) = (&console.encryption_key, visitor.user(), visitor.actor());
    let found = match webhook_secret::reveal(&context.db, key, user, by).await {
        // The page then offers a rotation.
        Err(SecretsError::Encryption(_)) => webhook_secret::active(&context.db, key, user).await,
        found => found,
    };
    let found = found.map_err(refused)?;
    let active = found.secrets.len();
    let secret = found.secrets.into_iter().next().map(|secret| secret.expose_secret().to_owned());
    let frame = Tab::Webhooks.frame(&visitor);
    show(&Page { frame, tab: Tab::Webhooks, secret, active, current: found.current })
}

/// POST /account/webhooks/rotate: rotates only the secret that the page showed as current. A form that is
/// sent twice would otherwise rotate twice, and the second rotation ends the secret that receivers still use.
pub(crate) async fn rotate(
    SignedForm { sender: visitor, form }: SignedForm,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
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
