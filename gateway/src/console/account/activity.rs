//! Activity: who did what to the account.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::super::page::{Frame, show};
use super::super::visitor::Visitor;
use super::super::when::When;
use super::Tab;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, read_page};
use gateway_domain::accounts::audit::{self, Entry};

/// Lines of a page.
const PER_PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "account/activity.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    entries: Vec<(Entry, When)>,
    next: Option<String>,
}

/// GET /account/activity
pub(in crate::console) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let page = read_page(&mut query, PER_PAGE, ());
    query.end()?;
    let mut entries = audit::list(&context.db, visitor.user(), page.after, page.rows()).await?;
    let next = page.cut(&mut entries, Entry::position);
    let entries = entries.into_iter().map(|entry| (entry.clone(), When(entry.at))).collect();
    show(&Page { frame: Tab::Activity.frame(&visitor), tab: Tab::Activity, entries, next })
}
