//! /runs/{id}: a run, with its whole thread as it happens.

pub(super) mod actions;
pub(super) mod artifact;
pub(super) mod live;
mod load;
pub(super) mod raw;
mod summary;
mod thread;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use shared::events;
use shared::ids::RunId;

use super::page::{Frame, Part, render};
use super::visitor::Visitor;
use crate::context::Context;
use crate::error::ApiError;
use load::load;
use summary::Summary;

/// Events that come with the page, and then in each piece of the stream: a page of them is some MiB at the very most.
const EVENTS_AT_ONCE: i64 = 200;

#[derive(Template)]
#[template(path = "run/page.html")]
struct Page {
    frame: Frame,
    id: RunId,
    title: String,
    api: bool,
    app_id: shared::ids::AppId,
    app_name: String,
    summary: String,
    events: String,
    /// The number of the last event in it.
    after: i64,
    /// Whether more may come.
    open: bool,
}

/// The run that a path names, whoever asks.
fn run_of(path: &str) -> Result<RunId, ApiError> {
    path.parse().map_err(|_| ApiError::NotFound("run"))
}

/// GET /runs/{id}
pub(super) async fn show(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [("finished", "The run was over before it could be cancelled.")];
    let id = run_of(&path)?;
    let shown = load(&context, visitor.user(), id).await?;
    let reading =
        context.db.read(|mut conn| async move { events::read_after(&mut conn, id, 0, EVENTS_AT_ONCE).await });
    let events = reading.await?;
    let run = &shown.run;
    let after = events.last().map_or(0, |event| event.seq);
    let summary = render(&Summary::of(&shown, &visitor.form_token))?;
    // Markdown of many messages takes its time: not on a thread that serves others.
    let rendered =
        web::block(move || thread::render(id, &events)).await.map_err(|_| ApiError::Internal)??;
    let frame = Frame::new(run.title.clone(), Part::Apps, &visitor).noticing(&request, &NOTICES);
    super::page::show(&Page {
        frame,
        id,
        title: run.title.clone(),
        api: run.source == "api",
        app_id: run.app_id,
        app_name: run.app_name.clone(),
        open: !crate::runs::is_over(run) || after < run.last_seq,
        summary,
        events: rendered,
        after,
    })
}
