//! GET /runs/{id}/live: the thread as it grows, as server-sent events (WHATWG HTML 9.2). The id of each piece
//! is the number of its last event. A browser that reconnects sends that id (Last-Event-ID, or `after`) and
//! gets the events behind it. The stream reads the event log by number, so it loses and repeats no event.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use gateway_domain::Refusal;
use gateway_domain::accounts::sessions;
use gateway_domain::runs::open_waits::{self, OpenWait};
use gateway_domain::runs::{RunRef, events, get};
use shared::ids::RunId;
use shared::runs::RunView;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::summary::Summary;
use super::{EVENTS_AT_ONCE, STREAM_BYTES, running_cap, thread};
use crate::console::owned::OwnRun;
use crate::console::page::{block, render};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;
use crate::http::large_body::pieces;
use crate::http::middleware::leave_uncompressed;

/// The longest stream; the browser then reconnects. It is short because the open waits of a killed gateway
/// stay counted for this time.
const LONGEST: Duration = Duration::from_mins(2);
/// How often the stream checks the session and sends a comment.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Parts of a piece that wait for a slow browser.
const WAITING: usize = 2;

type Out = mpsc::Sender<Result<Bytes, actix_web::Error>>;

pub(crate) async fn handle(
    OwnRun { visitor, run }: OwnRun,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let after = query.value::<i64>("after", "an event's number").unwrap_or_default();
    query.end()?;
    let last =
        request.headers().get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    if request.method() == Method::HEAD {
        return Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).finish());
    }
    let open = open_waits::open(&context.db, visitor.user(), LONGEST).await?;
    let (out, parts) = mpsc::channel(WAITING);
    let after = last.unwrap_or(after).max(0);
    actix_web::rt::spawn(stream_run(context, visitor, run.run, after, out, open).in_current_span());
    let parts = stream::unfold(parts, async |mut parts| Some((parts.recv().await?, parts)));
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "private, no-store"))
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(parts);
    leave_uncompressed(response.headers_mut());
    Ok(response)
}

/// Sends pieces until the run is over, the browser disconnects, the session ends, or the process stops.
async fn stream_run(
    context: web::Data<Context>,
    visitor: Visitor,
    id: RunId,
    after: i64,
    out: Out,
    _open: OpenWait,
) {
    metrics::gauge!("capi_console_open_streams").increment(1.0);
    let deadline = Instant::now() + LONGEST;
    tokio::select! {
        ended = follow(&context, &visitor, id, after, &out) => {
            if matches!(ended, Err(ApiError::SignInNeeded)) {
                let _ = send(&out, "signed-out", None, "").await;
            } else if let Err(error) = ended {
                tracing::debug!(%error, run_id = %id, "failed to stream a thread to its end");
            }
        }
        () = out.closed() => {}
        () = tokio::time::sleep_until(deadline) => {}
        () = context.lifecycle.stopping().cancelled() => {}
    }
    metrics::gauge!("capi_console_open_streams").decrement(1.0);
}

async fn follow(
    context: &Context,
    visitor: &Visitor,
    id: RunId,
    mut after: i64,
    out: &Out,
) -> Result<(), ApiError> {
    // Subscribed before the first read, so that no change between the two is missed.
    let mut watch = context.watchers.watch(id);
    let (mut last_summary, mut checked) = (String::new(), Instant::now());
    let running_cap = running_cap(context, visitor);
    let limits = get::limits(&context.db, &context.plans, visitor.user(), id).await?;
    loop {
        if checked.elapsed() >= HEARTBEAT {
            check_session(context, visitor).await?;
            out.send(Ok(Bytes::from_static(b": still here\n\n"))).await.map_err(|_| disconnected())?;
            checked = Instant::now();
        }
        let events = events::read_after(&context.db, id, after, EVENTS_AT_ONCE, STREAM_BYTES).await?;
        if let Some(last) = events.last().map(|event| event.seq) {
            let html = block(move || thread::render(id, &events)).await?;
            send(out, "events", Some(last), &html).await?;
            after = last;
            continue;
        }
        let run = load(context, visitor, id).await?;
        let (over, last, token) = (run.is_over(), run.last_seq, visitor.form_token.clone());
        let summary = block(move || render(&Summary::of(&run, &limits, running_cap, &token))).await?;
        if summary != last_summary {
            send(out, "summary", None, &summary).await?;
            last_summary = summary;
        }
        if over && after >= last {
            return send(out, "over", None, "").await;
        }
        watch.changed().await;
    }
}

/// The run. Its result may be large, so it is loaded only when the run is over.
async fn load(context: &Context, visitor: &Visitor, id: RunId) -> Result<RunView, ApiError> {
    let (db, viewer, user) = (&context.db, &context.viewer, visitor.user());
    let run = get::load_summary(db, viewer, user, id).await?;
    if run.is_over() { Ok(get::load(db, viewer, user, RunRef::of_any_app(id)).await?) } else { Ok(run) }
}

/// Ends the stream of a session that was ended elsewhere.
async fn check_session(context: &Context, visitor: &Visitor) -> Result<(), ApiError> {
    let alive = sessions::is_alive(&context.db, visitor.session.id).await?;
    if alive { Ok(()) } else { Err(ApiError::SignInNeeded) }
}

/// Sends one piece. The format requires `data: ` before each line.
async fn send(out: &Out, event: &str, id: Option<i64>, data: &str) -> Result<(), ApiError> {
    let mut piece = format!("event: {event}\n");
    if let Some(id) = id {
        let _ = writeln!(piece, "id: {id}");
    }
    for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
        piece.push_str("data: ");
        piece.push_str(line);
        piece.push('\n');
    }
    piece.push('\n');
    for part in pieces(piece.into()) {
        out.send(Ok(part)).await.map_err(|_| disconnected())?;
    }
    Ok(())
}

/// The browser disconnected: nothing is left to answer.
fn disconnected() -> ApiError {
    Refusal::Internal.into()
}
