//! GET /runs/{id}/events.jsonl: the log as it is, an event a line (JSON Lines), as much of it as there is now.

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use gateway_domain::runs::{RunRef, get};
use serde_json::json;
use shared::runs::events;
use shared::time::format_time;

use super::super::visitor::Visitor;
use super::{EVENTS_AT_ONCE, run_of};
use crate::context::Context;
use crate::http::ApiError;

/// The handler. A page of events at a time is in memory.
pub(in crate::console) async fn handle(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = run_of(&path)?;
    get::status(&context.db, visitor.user(), RunRef::of_any_app(id)).await?;
    if request.method() == Method::HEAD {
        return Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/jsonl")).finish());
    }
    let pages = stream::unfold(Some(0), move |after| {
        let context = context.clone();
        async move {
            let after = after?;
            let reading = context.db.read(|mut conn| async move {
                events::read_after(&mut conn, id, after, EVENTS_AT_ONCE).await
            });
            match reading.await {
                Ok(events) => {
                    let last = events.last()?.seq;
                    let lines = events.iter().map(|event| {
                        let line = json!({
                            "seq": event.seq, "type": event.r#type, "at": format_time(event.at), "attempt": event.attempt, "data": event.data,
                        });
                        format!("{line}\n")
                    });
                    Some((Ok(Bytes::from(lines.collect::<String>())), Some(last)))
                }
                // Broken off, so that nobody takes a part for the whole.
                Err(error) => Some((Err(actix_web::Error::from(ApiError::from(error))), None)),
            }
        }
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/jsonl"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.jsonl\"")))
        .streaming(pages))
}
