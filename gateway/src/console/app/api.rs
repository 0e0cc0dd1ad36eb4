//! The tab API: how a program runs this app, and a key for it made in place.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use shared::ids::AppId;

use super::super::Console;
use super::super::account::keys::{KeyForm, Typed, make_key};
use super::super::form::Form;
use super::super::page::{Frame, show_as};
use super::super::visitor::Visitor;
use super::snippets::{Snippet, snippets};
use super::{Header, Tab, app_of};
use crate::context::Context;
use crate::http::ApiError;

#[derive(Template)]
#[template(path = "app/api.html")]
struct Page {
    frame: Frame,
    app: Header,
    snippets: Vec<Snippet>,
    /// Shown this once.
    made: Option<String>,
    form: KeyForm,
    action: String,
}

/// GET /apps/{appId}/api
pub(in crate::console) async fn page(
    visitor: Visitor,
    path: web::Path<String>,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    show_page((&context, &console), &visitor, &path, None, Typed::default()).await
}

async fn show_page(
    (context, console): (&Context, &Console),
    visitor: &Visitor,
    id: &str,
    made: Option<String>,
    typed: Typed,
) -> Result<HttpResponse, ApiError> {
    let app = app_of(context, visitor, id).await?;
    let header = Header::new(&app, Tab::Api);
    let action = format!("/apps/{}/keys", app.id);
    let form = KeyForm::for_app(context, visitor, typed).await?;
    let base = console.public_url.as_str();
    let snippets = snippets(base, &app.id.to_string(), &app.definition);
    show_as(form.status(), &Page { frame: header.frame(visitor), app: header, snippets, made, form, action })
}

/// POST /apps/{appId}/keys
pub(in crate::console) async fn create_key(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    context: web::Data<Context>,
    console: web::Data<Console>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let app: AppId = app_of(&context, &visitor, &path).await?.id;
    match make_key(&context, &visitor, &form, Some(app)).await? {
        Ok(key) => show_page((&context, &console), &visitor, &path, Some(key), Typed::default()).await,
        Err(typed) => show_page((&context, &console), &visitor, &path, None, typed).await,
    }
}
