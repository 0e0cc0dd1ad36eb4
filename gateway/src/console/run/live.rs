//! GET /runs/{id}/live: the thread as it goes on (server-sent events, WHATWG HTML 9.2). Each piece carries the number of
//! its last event as id; whoever comes again with it (Last-Event-ID, or `after`) goes on behind it. Nothing is lost or
//! doubled, because what is sent is read from the log by number.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use gateway_domain::accounts::sessions;
use gateway_domain::runs::open_waits::{self, OpenWait};
use gateway_domain::runs::{RunRef, get};
use shared::ids::RunId;
use shared::runs::{RunView, events};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::page::render;
use super::super::visitor::Visitor;
use super::summary::Summary;
use super::{EVENTS_AT_ONCE, run_of, thread};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;
use crate::http::middleware::leave_uncompressed;

/// The longest stream; the browser comes again. Short, because a gateway that is killed leaves its places taken for so long.
const LONGEST: Duration = Duration::from_mins(2);
/// How often the session is looked at again, and a sign of life sent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Pieces that wait for a slow browser.
const WAITING: usize = 2;

type Out = mpsc::Sender<Result<Bytes, actix_web::Error>>;

/// The handler.
pub(in crate::console) async fn handle(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = run_of(&path)?;
    let mut query = Query::of(&request)?;
    let after = query.value::<i64>("after", "an event's number").unwrap_or_default();
    query.end()?;
    let last =
        request.headers().get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    // Before the answer begins: a run of somebody else is a 404 and no stream.
    get::status(&context.db, visitor.user(), RunRef::of_any_app(id)).await?;
    if request.method() == Method::HEAD {
        return Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).finish());
    }
    let open = open_waits::open(&context.db, visitor.user(), LONGEST).await?;
    let (out, pieces) = mpsc::channel(WAITING);
    actix_web::rt::spawn(run(context, visitor, id, last.unwrap_or(after).max(0), out, open));
    let pieces = stream::unfold(pieces, async |mut pieces| Some((pieces.recv().await?, pieces)));
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "private, no-store"))
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(pieces);
    leave_uncompressed(response.headers_mut());
    Ok(response)
}

/// Sends until the run is over and told, the browser is gone, the session over, or the process stops.
async fn run(
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
                tracing::debug!(%error, run_id = %id, "a thread's stream ends early");
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
    // Subscribed before the first look: what happens in between is not missed.
    let mut watch = context.watchers.watch(id);
    let (mut told, mut looked) = (String::new(), Instant::now());
    let limits = get::limits(&context.db, &context.plans, visitor.user(), id).await?;
    loop {
        if looked.elapsed() >= HEARTBEAT {
            still_signed_in(context, visitor).await?;
            out.send(Ok(Bytes::from_static(b": still here\n\n"))).await.map_err(|_| ApiError::internal())?;
            looked = Instant::now();
        }
        let reading = context
            .db
            .read(|mut conn| async move { events::read_after(&mut conn, id, after, EVENTS_AT_ONCE).await });
        let events = reading.await?;
        if let Some(last) = events.last().map(|event| event.seq) {
            let rendering = web::block(move || thread::render(id, &events));
            send(out, "events", Some(last), &rendering.await.map_err(|_| ApiError::internal())??).await?;
            after = last;
            continue;
        }
        let run = as_it_stands(context, visitor, id).await?;
        let (over, last, token) = (run.is_over(), run.last_seq, visitor.form_token.clone());
        let rendering = web::block(move || render(&Summary::of(&run, &limits, &token)));
        let summary = rendering.await.map_err(|_| ApiError::internal())??;
        if summary != told {
            send(out, "summary", None, &summary).await?;
            told = summary;
        }
        if over && after >= last {
            return send(out, "over", None, "").await;
        }
        watch.changed().await;
    }
}

/// The run. Its result may be large, so it is loaded only once the run is over.
async fn as_it_stands(context: &Context, visitor: &Visitor, id: RunId) -> Result<RunView, ApiError> {
    let (db, viewer, user) = (&context.db, &context.viewer, visitor.user());
    let run = get::load_summary(db, viewer, user, id).await?;
    if run.is_over() { Ok(get::load(db, viewer, user, RunRef::of_any_app(id)).await?) } else { Ok(run) }
}

/// A session that was ended elsewhere sees nothing more.
async fn still_signed_in(context: &Context, visitor: &Visitor) -> Result<(), ApiError> {
    let alive = sessions::is_alive(&context.db, visitor.session.id).await?;
    if alive { Ok(()) } else { Err(ApiError::SignInNeeded) }
}

/// A piece; each line of it on a line of its own, as the format wants.
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
    out.send(Ok(piece.into())).await.map_err(|_| ApiError::internal())
}
