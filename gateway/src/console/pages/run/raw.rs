//! GET /runs/{id}/events.jsonl: the event log up to now, one event a line (JSON Lines). The response holds
//! one page of events in memory at a time.

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use gateway_domain::runs::events;
use serde_json::json;
use shared::runs::events::Event;
use shared::time::format_time;
use tracing::{Instrument, Span};

use super::{EVENTS_AT_ONCE, STREAM_BYTES};
use crate::console::owned::OwnRun;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::large_body::pieces;

pub(crate) async fn handle(
    OwnRun { visitor, run }: OwnRun,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = run.run;
    if request.method() == Method::HEAD {
        return Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/jsonl")).finish());
    }
    // The account pays for what the stream holds.
    let held = usize::try_from(STREAM_BYTES).unwrap_or(usize::MAX);
    let unread = context.unread.take(visitor.user(), held)?;
    // The stream is read after the request's span has ended.
    let span = Span::current();
    let pages = stream::unfold(Some(0), move |after| {
        let context = context.clone();
        let page = async move {
            let after = after?;
            match events::read_after(&context.db, id, after, EVENTS_AT_ONCE, STREAM_BYTES).await {
                Ok(events) => {
                    let last = events.last()?.seq;
                    let lines: String = events.iter().map(line).collect();
                    Some((Ok(Bytes::from(lines)), Some(last)))
                }
                // An error breaks the response off, so that the client does not take a part for the whole
                // log.
                Err(refusal) => Some((Err(actix_web::Error::from(ApiError::from(refusal))), None)),
            }
        };
        page.instrument(span.clone())
    });
    let parts = pages
        .map_ok(|page| stream::iter(pieces(page).map(Ok::<_, actix_web::Error>)))
        .try_flatten()
        .map(move |part| {
            let _held = &unread;
            part
        });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/jsonl"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.jsonl\"")))
        .streaming(parts))
}

fn line(event: &Event) -> String {
    let line = json!({
        "seq": event.seq,
        "type": event.r#type,
        "at": format_time(event.at),
        "attempt": event.attempt,
        "data": event.data,
    });
    format!("{line}\n")
}
