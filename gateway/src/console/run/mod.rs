//! /runs/{id}: a run, with its whole thread as it happens.

pub(super) mod actions;
pub(super) mod artifact;
pub(super) mod live;
pub(super) mod raw;
mod summary;
mod thread;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::runs::{RunRef, get};
use shared::ids::{AppId, RunId};
use shared::runs::{Source, events};

use super::page::{Frame, Part, render};
use super::visitor::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use summary::{Summary, shown_inputs};

/// Events that come with the page, and then in each piece of the stream at most: fewer, where they are long.
const EVENTS_AT_ONCE: i64 = 200;

#[derive(Template)]
#[template(path = "run/page.html")]
struct Page {
    frame: Frame,
    id: RunId,
    title: String,
    api: bool,
    app_id: AppId,
    app_name: String,
    summary: String,
    events: String,
    /// The number of the last event in it.
    after: i64,
    inputs: Vec<(String, String)>,
    /// Whether more may come.
    open: bool,
}

/// The run that a path names, whoever asks.
fn run_of(path: &str) -> Result<RunId, ApiError> {
    path.parse().map_err(|_| ApiError::not_found("run"))
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
    let run = get::load(&context.db, &context.viewer, visitor.user(), RunRef::of_any_app(id)).await?;
    let limits = get::limits(&context.db, &context.plans, visitor.user(), id).await?;
    let reading =
        context.db.read(|mut conn| async move { events::read_after(&mut conn, id, 0, EVENTS_AT_ONCE).await });
    let events = reading.await?;
    let after = events.last().map_or(0, |event| event.seq);
    let token = visitor.form_token.clone();
    // Markdown takes its time: not on a thread that serves others.
    let rendering = web::block(move || {
        let summary = render(&Summary::of(&run, &limits, &token))?;
        Ok::<_, ApiError>((summary, thread::render(id, &events)?, run))
    });
    let (summary, rendered, run) = rendering.await.map_err(|_| ApiError::internal())??;
    let frame = Frame::new(run.title.clone(), Part::Apps, &visitor).noticing(&request, &NOTICES);
    super::page::show(&Page {
        frame,
        id,
        open: !run.is_over() || after < run.last_seq,
        title: run.title,
        api: run.source == Source::Api,
        app_id: run.app_id,
        app_name: run.app_name,
        inputs: run.inputs.as_ref().map(shown_inputs).unwrap_or_default(),
        summary,
        events: rendered,
        after,
    })
}
