//! The tab API: how a program runs this app, and a form that creates a key for it.

use actix_web::{HttpResponse, web};
use askama::Template;
use gateway_domain::apps::CurrentApp;

use super::snippets::{Snippet, snippets};
use super::{Header, Tab};
use crate::console::Console;
use crate::console::form::SignedForm;
use crate::console::owned::OwnApp;
use crate::console::page::{Frame, show_as};
use crate::console::pages::account::key_form::{self, KeyForm, Typed};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;

#[derive(Template)]
#[template(path = "app/api.html")]
struct Page {
    frame: Frame,
    app: Header,
    snippets: Vec<Snippet>,
    /// The new key. No later page can show it.
    created: Option<String>,
    form: KeyForm,
    action: String,
}

/// GET /apps/{appId}/api
pub(crate) async fn page(
    OwnApp { visitor, app }: OwnApp,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    show_page((&context, &console), &visitor, &app, None, Typed::default()).await
}

async fn show_page(
    (context, console): (&Context, &Console),
    visitor: &Visitor,
    app: &CurrentApp,
    created: Option<String>,
    typed: Typed,
) -> Result<HttpResponse, ApiError> {
    let header = Header::new(app, Tab::Api);
    let action = format!("/apps/{}/keys", app.id);
    let form = KeyForm::for_app(context, visitor, typed).await?;
    let snippets = snippets(console.public_url.as_str(), &app.id.to_string(), &app.definition);
    let snippets = snippets.map_err(|error| ApiError::fault(&error))?;
    let frame = header.frame(visitor);
    show_as(form.status(), &Page { frame, app: header, snippets, created, form, action })
}

/// POST /apps/{appId}/keys
pub(crate) async fn create_key(
    SignedForm { sender: OwnApp { visitor, app }, form }: SignedForm<OwnApp>,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    let (created, typed) = match key_form::create_key(&context, &visitor, &form, Some(app.id)).await? {
        Ok(key) => (Some(key), Typed::default()),
        Err(typed) => (None, typed),
    };
    show_page((&context, &console), &visitor, &app, created, typed).await
}
