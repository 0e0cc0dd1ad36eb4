//! /apps: lists the account's apps, and creates apps from samples.

mod samples;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::apps::list::{App, list as list_apps};
use gateway_domain::apps::store;
use shared::ids::AppId;

use self::samples::{Card, Installation, sample};
use crate::console::app_refusal::store_refusal;
use crate::console::form::SignedForm;
use crate::console::format::Timestamp;
use crate::console::page::{Frame, Part, see_other, show};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, read_page};

/// Apps of a page.
const PER_PAGE: u32 = 50;

struct Listed {
    id: AppId,
    name: String,
    description: String,
    version: i32,
    archived: bool,
    updated: Timestamp,
}

#[derive(Template)]
#[template(path = "apps/list.html")]
struct Page {
    frame: Frame,
    apps: Vec<Listed>,
    next: Option<String>,
    samples: Vec<Card>,
}

/// What the samples may use.
fn installation(context: &Context) -> Installation<'_> {
    Installation { models: &context.models, search: !context.search.all().is_empty() }
}

/// GET /apps
pub(crate) async fn list(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let page = read_page(&mut query, PER_PAGE, ());
    query.end()?;
    let mut rows = list_apps(&context.db, visitor.user(), None, page.after, page.rows()).await?;
    let next = page.cut(&mut rows, App::position);
    let apps = rows.iter().filter_map(listed).collect();
    let frame = Frame::new("Apps", Part::Apps, &visitor);
    show(&Page { frame, apps, next, samples: installation(&context).cards() })
}

fn listed(app: &App) -> Option<Listed> {
    let definition = app.definition()?;
    Some(Listed {
        id: app.id,
        name: definition.name,
        description: definition.description,
        version: app.version,
        archived: app.archived,
        updated: Timestamp(app.updated_at),
    })
}

#[derive(Template)]
#[template(path = "apps/new.html")]
struct NewPage {
    frame: Frame,
    samples: Vec<Card>,
}

/// GET /apps/new
pub(crate) async fn choose(visitor: Visitor, context: web::Data<Context>) -> Result<HttpResponse, ApiError> {
    let frame = Frame::new("New app", Part::Apps, &visitor);
    show(&NewPage { frame, samples: installation(&context).cards() })
}

/// POST /apps
pub(crate) async fn create(
    SignedForm { sender: visitor, form }: SignedForm,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let name = form.text("sample");
    if !installation(&context).offers(name) {
        // The page says what the installation lacks.
        return Ok(see_other("/apps/new"));
    }
    let mut definition = sample(name, context.checks(visitor.user())).await?;
    definition.limits = definition.limits.under(context.plans.get(&visitor.session.plan));
    let quotas = &context.plans.quotas(&visitor.session.plan);
    let app = store::create(&context.db, (visitor.user(), quotas), &definition, visitor.actor())
        .await
        .map_err(store_refusal)?;
    Ok(see_other(&format!("/apps/{app}/edit?done=created")))
}
