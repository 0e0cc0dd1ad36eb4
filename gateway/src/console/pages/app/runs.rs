//! The tab Runs: the app's runs, newest first. The page's script requests the rows again every few seconds.
//! The answer is empty while they are the same.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use gateway_domain::runs::Filters;
use gateway_domain::runs::list::list;
use shared::config::{Model, ModelsFile};
use shared::ids::{AppId, RunId};
use shared::runs::{RunStatus, RunView, Source};
use shared::time::format_time;
use url::form_urlencoded;

use super::{Header, Tab};
use crate::console::format::{Timestamp, count, duration};
use crate::console::owned::OwnApp;
use crate::console::page::{Frame, html, is_for_script, render, show};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, read_filters_of_app, read_page};

/// Runs of a page.
const PER_PAGE: u32 = 30;

struct Row {
    id: RunId,
    title: String,
    /// Whether a program started it.
    api: bool,
    /// Whether the demo model answered.
    demo: bool,
    status: &'static str,
    over: bool,
    /// The name of the API key that started it.
    key: Option<String>,
    created: Timestamp,
    duration: Option<String>,
    /// The start of a run that is running.
    since: Option<String>,
    tokens: String,
}

impl Row {
    fn of(run: &RunView, models: &ModelsFile) -> Self {
        let usage = run.usage.0;
        let running = run.status == RunStatus::Running;
        Self {
            id: run.id,
            title: run.title.clone(),
            api: run.source == Source::Api.as_str(),
            demo: models.get(&run.chat_model_id).is_some_and(Model::is_demo),
            status: run.status.as_str(),
            over: run.is_over(),
            key: run.api_key.as_ref().map(|key| key.0.name.clone()),
            created: Timestamp(run.created_at.0),
            duration: run.started_at.zip(run.completed_at).map(|(from, to)| duration(from.0, to.0)),
            since: run.started_at.filter(|_| running).map(|at| format_time(at.0)),
            tokens: count(usage.input_tokens + usage.output_tokens),
        }
    }
}

/// The rows alone: the part that the script refreshes.
#[derive(Template)]
#[template(path = "app/runs_rows.html")]
struct Rows<'v> {
    form_token: &'v str,
    runs: Vec<Row>,
    /// The address of the rows. None on later pages, which the script does not refresh.
    refresh: Option<String>,
    filtered: bool,
    app: AppId,
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
pub(crate) async fn page(
    OwnApp { visitor, app }: OwnApp,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::without_empty(&request)?;
    let seen = query.text("seen");
    let filters = read_filters_of_app(&mut query);
    let mut listed = read_page(&mut query, PER_PAGE, filters);
    listed.limit = PER_PAGE;
    query.end()?;
    let (runs, next) =
        list(&context.db, &context.viewer, visitor.user(), Some(app.id), &listed, false).await?;
    let filters = &listed.filters;
    let filtered = !filters.status.is_empty() || filters.source.is_some();
    let mut rows = Rows {
        form_token: &visitor.form_token,
        runs: runs.iter().map(|run| Row::of(run, &context.models)).collect(),
        refresh: listed.after.is_none().then(|| rows_address(app.id, filters)),
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
    let source = filters.source.map_or("", Source::as_str);
    show(&Page { frame: header.frame(&visitor), app: header, rows, statuses, source, next, filtered })
}

fn rows_address(app: AppId, filters: &Filters) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for status in &filters.status {
        query.append_pair("status", status.as_str());
    }
    if let Some(source) = filters.source {
        query.append_pair("source", source.as_str());
    }
    format!("/apps/{app}/runs?{}", query.finish())
}
