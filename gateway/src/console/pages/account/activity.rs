//! GET /account/activity: the account's audit log.

use std::net::IpAddr;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::audit::{self, Entry};

use super::Tab;
use crate::console::format::Timestamp;
use crate::console::page::{Frame, show};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Client, Query, read_page};

/// Entries of a page.
const PER_PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "account/activity.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    entries: Vec<(Entry, Timestamp)>,
    next: Option<String>,
    /// The proxy that forwarded this request, if capi does not trust it.
    unlisted_proxy: Option<IpAddr>,
}

pub(crate) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let page = read_page(&mut query, PER_PAGE, ());
    query.end()?;
    let mut entries = audit::list(&context.db, visitor.user(), page.after, page.rows()).await?;
    let next = page.cut(&mut entries, Entry::position);
    let entries = entries.into_iter().map(|entry| (entry.clone(), Timestamp(entry.at))).collect();
    let client = Client::of(&request, &context.trusted_proxies);
    let unlisted_proxy = client.unlisted_proxy.then_some(client.address);
    let frame = Tab::Activity.frame(&visitor);
    show(&Page { frame, tab: Tab::Activity, entries, next, unlisted_proxy })
}
