//! The tab Runs: the app's runs, newest first. The page asks again every few seconds for the rows alone, and is told
//! "nothing new" where they are the same.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use shared::db::DbError;
use shared::ids::RunId;
use shared::runs::{RunStatus, RunView};
use url::form_urlencoded;

use super::super::page::{Frame, html, is_for_script, render, show};
use super::super::visitor::Visitor;
use super::super::when::{When, count, duration};
use super::{Header, Tab, app_of};
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Page as ListPage, Query};
use crate::runs::{Filters, Found, Source, find, is_over};

/// Runs of a page.
const PER_PAGE: u32 = 30;

struct Row {
    id: RunId,
    title: String,
    /// Started by a program.
    api: bool,
    status: String,
    over: bool,
    /// Of the key, where there is one.
    key: Option<String>,
    created: When,
    duration: Option<String>,
    /// Since when it runs.
    since: Option<String>,
    tokens: String,
}

impl Row {
    fn of(run: &RunView) -> Self {
        let tokens = |name: &str| run.usage[name].as_i64().unwrap_or_default();
        let running = run.status == RunStatus::Running.as_str();
        Self {
            id: run.id,
            title: run.title.clone(),
            api: run.source == "api",
            status: run.status.clone(),
            over: is_over(run),
            key: run.api_key.as_ref().and_then(|key| key["name"].as_str()).map(str::to_owned),
            created: When(run.created_at),
            duration: run.started_at.zip(run.completed_at).map(|(from, to)| duration(from, to)),
            since: run.started_at.filter(|_| running).map(shared::runs::format_time),
            tokens: count(tokens("inputTokens") + tokens("outputTokens")),
        }
    }
}

/// The rows, as they come again and again.
#[derive(Template)]
#[template(path = "app/runs_rows.html")]
struct Rows<'v> {
    form_token: &'v str,
    runs: Vec<Row>,
    /// Where they come from; nothing on later pages, which stay as they are.
    refresh: Option<String>,
    filtered: bool,
    app: shared::ids::AppId,
}

#[derive(Template)]
#[template(path = "app/runs.html")]
struct Page {
    frame: Frame,
    app: Header,
    rows: String,
    statuses: Vec<(&'static str, bool)>,
    source: &'static str,
    next: Option<String>,
    filtered: bool,
}

/// GET /apps/{appId}/runs
pub(in crate::console) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let app = app_of(&context, &visitor, &path).await?;
    let mut query = Query::without_empty(&request)?;
    let seen = query.text("seen");
    let filters = Filters::read_of_an_app(&mut query);
    let mut listed = ListPage::read(&mut query, PER_PAGE, filters);
    listed.limit = PER_PAGE;
    query.end()?;
    let (runs, next) = load(&context, &visitor, app.id, &listed).await?;
    let filters = &listed.filters;
    let filtered = !filters.status.is_empty() || filters.source.is_some();
    let address = listed.after.is_none().then(|| address(app.id, filters));
    let mut rows = Rows {
        form_token: &visitor.form_token,
        runs: runs.iter().map(Row::of).collect(),
        refresh: address,
        filtered,
        app: app.id,
    };
    let plain = render(&rows)?;
    let hash = BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, plain.as_bytes()).as_ref()[..12]);
    if is_for_script(&request) && seen.as_deref() == Some(hash.as_str()) {
        return Ok(HttpResponse::NoContent().finish());
    }
    rows.refresh = rows.refresh.map(|address| format!("{address}&seen={hash}"));
    let rows = render(&rows)?;
    if is_for_script(&request) {
        return Ok(html(StatusCode::OK, rows));
    }
    let header = Header::new(&app, Tab::Runs);
    let statuses = RunStatus::ALL.map(|status| (status.as_str(), filters.status.contains(&status))).to_vec();
    let source = match filters.source {
        Some(Source::Api) => "api",
        Some(Source::Console) => "console",
        None => "",
    };
    show(&Page { frame: header.frame(&visitor), app: header, rows, statuses, source, next, filtered })
}

async fn load(
    context: &Context,
    visitor: &Visitor,
    app: shared::ids::AppId,
    page: &ListPage<Filters>,
) -> Result<(Vec<RunView>, Option<String>), ApiError> {
    let (viewer, user) = (&context.viewer, visitor.user());
    let loading = context.db.read(|mut conn| async move {
        let mut found = find(&mut conn, user, Some(app), page).await?;
        let next = page.cut(&mut found, Found::position);
        let ids: Vec<RunId> = found.iter().map(|run| run.id).collect();
        Ok::<_, DbError>((viewer.load_all(&mut conn, user, &ids, false).await?, next))
    });
    Ok(loading.await?)
}

fn address(app: shared::ids::AppId, filters: &Filters) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for status in &filters.status {
        query.append_pair("status", status.as_str());
    }
    match filters.source {
        Some(Source::Api) => query.append_pair("source", "api"),
        Some(Source::Console) => query.append_pair("source", "console"),
        None => &mut query,
    };
    format!("/apps/{app}/runs?{}", query.finish())
}
