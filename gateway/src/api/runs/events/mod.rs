//! GET /api/v1/runs/{id}/events and the same within an app: the log of a run, as pages or as a stream.

mod page;
mod render;
mod shown;
mod stream;

pub(in crate::api) use self::shown::Delta;

use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::FieldError;
use gateway_domain::runs::{Follow, get};
use serde_json::{Value, json};

use self::page::EventPage;
use self::stream::ApiStream;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::event_stream::{Places, head, respond};
use crate::http::extract::{Query, Wanted, json_or_event_stream};

/// Items of a page.
const MAX_LIMIT: i64 = 500;
const DEFAULT_LIMIT: i64 = 100;
/// The header with which an EventSource says what it has (WHATWG HTML 9.2.2).
const LAST_EVENT_ID: &str = "Last-Event-ID";

#[utoipa::path(
    get, path = "/api/v1/runs/{id}/events", tag = "Runs", operation_id = "getRunEvents",
    summary = "Get or stream the events of a run",
    description = "The log of the run after number `after`. By default one page of it as JSON. With `Accept: \
                   text/event-stream` the events as they are recorded, as server-sent events: `id` is the \
                   number, `event` the type, and `data` an Event as in a page. The stream ends after the \
                   terminal event (`run.completed`, `run.failed`, `run.cancelled`). If it ends without one, \
                   connect again with the last number in `Last-Event-ID`. With `deltas` it also has messages \
                   `delta`, without `id`; their data is a Delta.",
    params(
        ("id" = uuid::Uuid, Path, description = "The run's id"),
        ("after" = Option<i64>, Query, minimum = 0,
            description = "Events with a higher number. 0 by default"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 500,
            description = "Events at most, 100 by default. Only for pages"),
        ("deltas" = Option<bool>, Query,
            description = "Also the words of the model, as they arrive. Only for streams"),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^[0-9]+$",
            description = "The last number that the client has. Only for streams, where it replaces `after`"),
    ),
    responses((status = 200, description = "A page of events, or the stream", content(
        (EventPage = "application/json"),
        (String = "text/event-stream"),
    ))),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let wanted = json_or_event_stream(&request)?;
    let mut query = Query::of(&request)?;
    let after = query.parsed("after", "a whole number from 0, the number of an event", number);
    let limit = query.parsed("limit", format!("a whole number from 1 to {MAX_LIMIT}"), |text| {
        number(text).filter(|limit| (1..=MAX_LIMIT).contains(limit))
    });
    let deltas = query.parsed("deltas", "true or false", |text| text.parse::<bool>().ok());
    if wanted == Wanted::Json && deltas == Some(true) {
        query.wrong("deltas", "deltas are part of streams; send Accept: text/event-stream");
    }
    if wanted == Wanted::EventStream && limit.is_some() {
        query.wrong("limit", "limit is for pages; leave it out with Accept: text/event-stream");
    }
    query.end()?;
    let after = after.unwrap_or_default();
    let run = caller.run_in_path(&request)?;
    if wanted == Wanted::Json {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        let page = page::read(&context.db, (caller.user, run), after, limit).await?;
        return Ok(HttpResponse::Ok().json(page));
    }
    let after = last_event_id(request.headers())?.unwrap_or(after);
    get::status(&context.db, caller.user, run).await?;
    if request.method() == Method::HEAD {
        return Ok(head());
    }
    let places = Places::take(&context, caller.user).await?;
    let follow =
        Follow::new(&context.db, &context.watchers, (caller.user, run), after, deltas.unwrap_or(false));
    Ok(respond(context, ApiStream { key: caller.key }, follow, places))
}

/// The number in `Last-Event-ID`.
fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let mut values = headers.get_all(LAST_EVENT_ID);
    let Some(value) = values.next() else { return Ok(None) };
    let last = value.to_str().ok().and_then(number).filter(|_| values.next().is_none());
    last.map(Some).ok_or_else(|| {
        let message = "Last-Event-ID must be one whole number from 0, the number of the last event";
        ApiError::invalid(FieldError::header(LAST_EVENT_ID, "invalid", message))
    })
}

/// A whole number from 0, written in digits. One that is too large is after every event.
fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(i64::MAX))
}

/// Adds real answers to the document.
pub(in crate::api) fn add_examples(document: &mut Value) {
    let example: Value = serde_json::from_str(include_str!("example.json")).unwrap_or_default();
    let messages = example["data"].as_array().into_iter().flatten().map(|event| {
        let kind = event["type"].as_str().unwrap_or_default();
        format!("event: {kind}\nid: {}\ndata: {event}\n\n", event["seq"])
    });
    let stream: String = messages.collect();
    let content = &mut document["paths"]["/api/v1/runs/{id}/events"]["get"]["responses"]["200"]["content"];
    content["text/event-stream"]["example"] = json!(stream);
    content["application/json"]["example"] = example;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits() {
        for (text, expected) in [("0", Some(0)), ("007", Some(7)), ("99999999999999999999", Some(i64::MAX))] {
            assert_eq!(number(text), expected, "{text}");
        }
        for text in ["", "-1", "+1", "1.0", " 1", "x"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }
}
