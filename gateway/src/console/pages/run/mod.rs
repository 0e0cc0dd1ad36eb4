//! /runs/{id}: a run with its whole thread, which grows while the run runs.

pub(crate) mod actions;
pub(crate) mod artifact;
mod call;
pub(crate) mod live;
mod pages;
pub(crate) mod raw;
mod summary;
mod thread;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::runs::{events, get};
use shared::config::Model;
use shared::ids::{AppId, RunId};
use shared::runs::Source;

use self::summary::{Summary, input_texts};
use crate::console::owned::OwnRun;
use crate::console::page::{self, Frame, Part, block, render};
use crate::console::session::Visitor;
use crate::console::shown::Shown;
use crate::context::Context;
use crate::http::ApiError;

/// The most events in the page, and in each piece of the stream.
const EVENTS_AT_ONCE: i64 = 200;
/// Bytes of the events in the page. The event that exceeds them is still part of the page. The stream sends
/// the others.
const PAGE_BYTES: i64 = 256 << 10;
/// The same for a piece of a stream: a client that does not read holds one in memory.
const STREAM_BYTES: i64 = 128 << 10;

#[derive(Template)]
#[template(path = "run/page.html")]
struct Page {
    frame: Frame,
    id: RunId,
    title: String,
    api: bool,
    /// Whether the demo model answered.
    demo: bool,
    app_id: AppId,
    app_name: String,
    summary: String,
    events: String,
    /// The number of the last event in the page.
    after: i64,
    inputs: Vec<(String, Shown<'static>)>,
    /// Whether more events may come.
    open: bool,
}

/// GET /runs/{id}
pub(crate) async fn show(
    OwnRun { visitor, run: run_ref }: OwnRun,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [("finished", "The run was over before it could be cancelled.")];
    let (id, user) = (run_ref.run, visitor.user());
    let run = get::load(&context.db, &context.viewer, user, run_ref).await?;
    let limits = get::limits(&context.db, &context.plans, user, id).await?;
    let events = events::read_after(&context.db, id, 0, EVENTS_AT_ONCE, PAGE_BYTES).await?;
    let after = events.last().map_or(0, |event| event.seq);
    let (running_cap, token) = (running_cap(&context, &visitor), visitor.form_token.clone());
    // Rendering Markdown takes time, so it does not run on a thread that serves other requests.
    let rendering = block(move || {
        let summary = render(&Summary::of(&run, &limits, running_cap, &token))?;
        Ok((summary, thread::render(id, &events)?, run))
    });
    let (summary, rendered, run) = rendering.await?;
    let frame = Frame::new(run.title.clone(), Part::Apps, &visitor).with_notice(&request, &NOTICES);
    page::show(&Page {
        frame,
        id,
        open: !run.is_over() || after < run.last_seq,
        title: run.title,
        api: run.source == Source::Api.as_str(),
        demo: context.models.get(&run.chat_model_id).is_some_and(Model::is_demo),
        app_id: run.app_id,
        app_name: run.app_name,
        inputs: run.inputs.as_ref().map(input_texts).unwrap_or_default(),
        summary,
        events: rendered,
        after,
    })
}

/// How many runs the visitor's plan runs at a time.
fn running_cap(context: &Context, visitor: &Visitor) -> u32 {
    let plans = &context.plans;
    plans.get(&visitor.session.plan).map_or_else(|| plans.smallest_running_cap(), |plan| plan.running_runs)
}
