//! /apps: the account's apps, and new ones.

mod samples;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::Value;

use super::form::Form;
use super::page::{Frame, Part, see_other, show};
use super::stored::stored;
use super::visitor::Visitor;
use super::when::When;
use crate::apps::{AppRow, load, store};
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Page as ListPage, Query};
use samples::{SAMPLES, Sample, sample};

/// Apps of a page.
const PER_PAGE: u32 = 50;

struct Listed {
    id: String,
    name: String,
    description: String,
    version: i64,
    archived: bool,
    updated: When,
}

#[derive(Template)]
#[template(path = "apps/list.html")]
struct Page {
    frame: Frame,
    apps: Vec<Listed>,
    next: Option<String>,
    samples: &'static [Sample],
}

/// GET /apps
pub(super) async fn list(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let page = ListPage::<()>::read(&mut query, PER_PAGE, ());
    query.end()?;
    let (user, after, rows) = (visitor.user(), page.after, page.rows());
    let loading = context.db.read(|mut conn| async move { load(&mut conn, user, None, after, rows).await });
    let mut rows = loading.await?;
    let next = page.cut(&mut rows, AppRow::position);
    let apps = rows.iter().filter_map(|row| listed(row, &context)).collect();
    let frame = Frame::new("Apps", Part::Apps, &visitor);
    show(&Page { frame, apps, next, samples: SAMPLES })
}

fn listed(row: &AppRow, context: &Context) -> Option<Listed> {
    let shown = row.shown(&context.models.default_model().id)?;
    let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
    Some(Listed {
        id: text("id"),
        name: text("name"),
        description: text("description"),
        version: shown["version"].as_i64().unwrap_or_default(),
        archived: shown["archived"] == Value::Bool(true),
        updated: When(row.updated_at()),
    })
}

#[derive(Template)]
#[template(path = "apps/new.html")]
struct NewPage {
    frame: Frame,
    samples: &'static [Sample],
}

/// GET /apps/new
pub(super) async fn choose(visitor: Visitor) -> Result<HttpResponse, ApiError> {
    show(&NewPage { frame: Frame::new("New app", Part::Apps, &visitor), samples: SAMPLES })
}

/// POST /apps
pub(super) async fn create(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let definition = &sample(form.text("sample"), &context.models)?;
    let (user, by) = (visitor.user(), visitor.actor());
    let making = context.db.write(|mut conn| async move {
        stored(store::create(&mut conn, user, definition.clone(), by).await)
    });
    let app = making.await??;
    Ok(see_other(&format!("/apps/{app}/edit?done=created")))
}
