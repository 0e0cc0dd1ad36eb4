//! Streams of a run's events as server-sent events (WHATWG HTML 9.2). Both faces use it: it follows the run,
//! sends comments while nothing happens, checks again what the client may see, and ends with the process. A
//! face renders what happened.
//!
//! The stream is polled by its connection and has no task or buffer of its own. So a client that does not
//! read stops it, and its memory is one part of the log. The kernel closes such a connection (see `server`).

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use gateway_domain::runs::open_waits::{self, OpenWait};
use gateway_domain::runs::{Follow, Followed};
use shared::db::DbError;
use shared::ids::UserId;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::ApiError;
use super::large_body::pieces;
use super::limits::OpenStream;
use super::middleware::leave_uncompressed;
use crate::context::Context;

/// How often a stream sends a comment. Proxies close connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a stream asks whether its client may still see the run. The promise is 30 s, with the time of
/// the check.
const CHECK: Duration = Duration::from_secs(25);
/// How long after a check is due the words of a model go on without it. They need no database, so a stream
/// could show them although the check fails.
const WORDS_UNCHECKED: Duration = Duration::from_secs(5);
/// How soon a check that failed is repeated.
const CHECK_AGAIN: Duration = Duration::from_secs(3);
/// How long a stream counts as open without being renewed: three checks. The streams of a killed gateway
/// count for this time.
const PLACE: Duration = Duration::from_secs(90);
/// The longest stream. The client then connects again, perhaps to another gateway.
const LONGEST: Duration = Duration::from_hours(1);
/// Milliseconds after which the clients of a stream that ended before its run connect again. The time is
/// random, so that the clients of a stopping gateway do not all return at once.
const RETRY_MS: std::ops::Range<u32> = 500..2500;

/// How a face shows a run that is followed.
pub(crate) trait Face {
    /// The face's name in metrics.
    const NAME: &'static str;

    /// Renders what happened, as messages of the stream. May be empty.
    async fn render(&mut self, context: &Context, followed: Followed) -> Result<String, ApiError>;

    /// Whether the client may still see the run.
    async fn is_allowed(&self, context: &Context) -> Result<bool, DbError>;

    /// The last message for a client that may no longer see the run.
    fn farewell(&self) -> String;
}

/// The places that a stream takes, in this gateway and among the account's waits and streams.
pub(crate) struct Places {
    _gateway: OpenStream,
    account: OpenWait,
}

impl Places {
    pub(crate) async fn take(context: &Context, user: UserId) -> Result<Self, ApiError> {
        let gateway = context.streams.open().map_err(|_| {
            ApiError::unavailable("this gateway has as many open streams as it may hold; try again")
        })?;
        let account = open_waits::open(&context.db, user, PLACE).await?;
        Ok(Self { _gateway: gateway, account })
    }
}

/// The headers of a stream without its body.
#[must_use]
pub(crate) fn head() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).finish()
}

/// The response that streams a run.
pub(crate) fn respond<F: Face + 'static>(
    context: web::Data<Context>,
    face: F,
    follow: Follow,
    places: Places,
) -> HttpResponse {
    let now = Instant::now();
    let streaming = Streaming {
        context,
        face,
        follow,
        places,
        parts: VecDeque::new(),
        heartbeat_at: now + HEARTBEAT,
        check_at: now + CHECK,
        words_until: now + CHECK + WORDS_UNCHECKED,
        ends_at: now + LONGEST,
        ended: None,
    };
    // The stream is read after the request's span has ended.
    let span = Span::current();
    let parts = stream::unfold(Box::new(streaming), move |mut streaming| {
        let next =
            async move { streaming.next().await.map(|part| (Ok::<_, actix_web::Error>(part), streaming)) };
        next.instrument(span.clone())
    });
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "private, no-store"))
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(parts);
    leave_uncompressed(response.headers_mut());
    response
}

/// Writes one message. The format requires `data: ` before each line.
#[must_use]
pub(crate) fn message(event: &str, id: Option<i64>, data: &str) -> String {
    let mut message = format!("event: {event}\n");
    if let Some(id) = id {
        let _ = writeln!(message, "id: {id}");
    }
    for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
        message.push_str("data: ");
        message.push_str(line);
        message.push('\n');
    }
    message.push('\n');
    message
}

/// Why a stream ended: a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Over,
    Deleted,
    NotAllowed,
    NoPlace,
    Drain,
    Longest,
    Failed,
}

impl Ended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Over => "run_over",
            Self::Deleted => "run_deleted",
            Self::NotAllowed => "not_allowed",
            Self::NoPlace => "no_place",
            Self::Drain => "drain",
            Self::Longest => "longest",
            Self::Failed => "failed",
        }
    }
}

struct Streaming<F: Face> {
    context: web::Data<Context>,
    face: F,
    follow: Follow,
    places: Places,
    /// What the connection has not taken yet: the rest of one message or of one part of the log.
    parts: VecDeque<Bytes>,
    heartbeat_at: Instant,
    check_at: Instant,
    /// When words are dropped, unless a check succeeds before.
    words_until: Instant,
    ends_at: Instant,
    ended: Option<Ended>,
}

impl<F: Face> Streaming<F> {
    /// The next bytes for the connection, or `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Some(part);
            }
            if self.ended.is_some() {
                return None;
            }
            let stopping = self.context.lifecycle.stopping().clone();
            let text = tokio::select! {
                text = self.step() => text,
                () = stopping.cancelled() => self.end_early(Ended::Drain),
            };
            self.parts.extend(pieces(text.into()));
        }
    }

    /// Does one thing, and returns what to send.
    async fn step(&mut self) -> String {
        let now = Instant::now();
        if now >= self.ends_at {
            return self.end_early(Ended::Longest);
        }
        if now >= self.check_at
            && let Some(farewell) = Box::pin(self.check(now)).await
        {
            return farewell;
        }
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + HEARTBEAT;
            return ": still here\n\n".to_owned();
        }
        let until = self.heartbeat_at.min(self.check_at).min(self.ends_at);
        let followed = match self.follow.next(until).await {
            Ok(followed) => followed,
            Err(refusal) => return self.fail(&refusal.into()),
        };
        self.ended = match followed {
            Followed::Over => Some(Ended::Over),
            Followed::Deleted => Some(Ended::Deleted),
            Followed::Events(_) | Followed::Words { .. } | Followed::UpToDate | Followed::Waited => None,
        };
        if matches!(followed, Followed::Words { .. }) && Instant::now() > self.words_until {
            return String::new();
        }
        match Box::pin(self.face.render(&self.context, followed)).await {
            Ok(text) => text,
            Err(error) => self.fail(&error),
        }
    }

    /// Checks what may have changed since the stream began. Returns the last message if the stream must end.
    /// A check that fails is repeated soon: without the database the stream shows nothing new.
    async fn check(&mut self, now: Instant) -> Option<String> {
        self.check_at = now + CHECK;
        match self.face.is_allowed(&self.context).await {
            Ok(true) => self.words_until = self.check_at + WORDS_UNCHECKED,
            Ok(false) => {
                self.ended = Some(Ended::NotAllowed);
                return Some(self.face.farewell());
            }
            Err(error) => return self.check_again(now, &error),
        }
        match self.places.account.renew(PLACE).await {
            Ok(true) => None,
            Ok(false) => Some(self.end_early(Ended::NoPlace)),
            Err(error) => self.check_again(now, &error),
        }
    }

    fn check_again(&mut self, now: Instant, error: &DbError) -> Option<String> {
        tracing::debug!(%error, "failed to check an open stream; checking again");
        self.check_at = now + CHECK_AGAIN;
        None
    }

    /// Ends the stream before its run is over. The client connects again and goes on where it was.
    fn end_early(&mut self, why: Ended) -> String {
        self.ended = Some(why);
        format!("retry: {}\n\n", rand::random_range(RETRY_MS))
    }

    fn fail(&mut self, error: &ApiError) -> String {
        tracing::warn!(%error, "failed to stream a run to its end");
        self.end_early(Ended::Failed)
    }
}

impl<F: Face> Drop for Streaming<F> {
    fn drop(&mut self) {
        let why = self.ended.map_or("client", Ended::as_str);
        metrics::counter!("capi_streams_ended_total", "face" => F::NAME, "reason" => why).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn each_line_of_a_message_is_marked() {
        assert_eq!(message("delta", None, "{}"), "event: delta\ndata: {}\n\n");
        assert_eq!(
            message("x", Some(7), "a\nb\r\nc\rd"),
            "event: x\nid: 7\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
        );
    }
}
