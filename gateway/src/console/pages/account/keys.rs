//! API keys: created (the page shows the key once), listed, revoked.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::keys::{self, ListedKey};
use gateway_domain::apps;
use shared::ids::ApiKeyId;

use super::Tab;
use super::key_form::{KeyForm, Typed, create_key};
use crate::console::form::SignedForm;
use crate::console::format::Timestamp;
use crate::console::page::{Frame, see_other, show_as};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;

/// Apps to choose from. With more apps, a key for one app is created on the app's own page.
const MAX_CHOICES: i64 = 200;

struct Listed {
    key: ListedKey,
    created: Timestamp,
    last_used: Option<Timestamp>,
    expires: Option<Timestamp>,
}

impl Listed {
    fn is_active(&self) -> bool {
        self.key.state == "active"
    }
}

#[derive(Template)]
#[template(path = "account/keys.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    keys: Vec<Listed>,
    created: Option<String>,
    form: KeyForm,
    action: &'static str,
}

async fn show_page(
    context: &Context,
    visitor: &Visitor,
    request: &HttpRequest,
    created: Option<String>,
    typed: Typed,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [("revoked", "Key revoked. The next request with it is refused.")];
    let listed = keys::list(&context.db, visitor.user()).await?;
    let apps = apps::list::names(&context.db, visitor.user(), MAX_CHOICES).await?;
    let mut form = KeyForm::new(context, visitor, &listed, typed);
    form.apps = apps.into_iter().map(|app| (app.id, app.name)).collect();
    let mut keys: Vec<_> = listed
        .into_iter()
        .map(|key| Listed {
            created: Timestamp(key.created_at),
            last_used: key.last_used_at.map(Timestamp),
            expires: key.expires_at.map(Timestamp),
            key,
        })
        .collect();
    keys.reverse();
    keys.sort_by_key(|listed| !listed.is_active());
    let frame = Tab::Keys.frame(visitor).with_notice(request, &NOTICES);
    show_as(form.status(), &Page { frame, tab: Tab::Keys, keys, created, form, action: "/account/keys" })
}

/// GET /account/keys
pub(crate) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    show_page(&context, &visitor, &request, None, Typed::default()).await
}

/// POST /account/keys
pub(crate) async fn create(
    SignedForm { sender: visitor, form }: SignedForm,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    match create_key(&context, &visitor, &form, None).await? {
        Ok(key) => show_page(&context, &visitor, &request, Some(key), Typed::default()).await,
        Err(typed) => show_page(&context, &visitor, &request, None, typed).await,
    }
}

/// POST /account/keys/{keyId}/revoke
pub(crate) async fn revoke(
    SignedForm { sender: visitor, .. }: SignedForm,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let key: ApiKeyId = path.parse().map_err(|_| ApiError::not_found("key"))?;
    let revoked = keys::revoke(&context.db, visitor.user(), key, visitor.actor()).await?;
    if revoked { Ok(see_other("/account/keys?done=revoked")) } else { Err(ApiError::not_found("key")) }
}
