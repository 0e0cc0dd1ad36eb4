//! GET /runs/{id}/live: the thread as it grows, as server-sent events. The id of each piece is the number of
//! its last event. A browser that reconnects sends that id (Last-Event-ID, or `after`) and gets the events
//! behind it.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::accounts::sessions;
use gateway_domain::runs::{Follow, Followed, RunRef, get};
use serde::Serialize;
use shared::db::DbError;
use shared::ids::RunId;
use shared::limits::Limits;
use shared::runs::RunView;

use super::summary::Summary;
use super::{running_cap, thread};
use crate::console::owned::OwnRun;
use crate::console::page::{block, render};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::event_stream::{Face, Places, head, message, respond};
use crate::http::extract::Query;

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
        return Ok(head());
    }
    let (user, after) = (visitor.user(), last.unwrap_or(after).max(0));
    let places = Places::take(&context, user).await?;
    let follow = Follow::new(&context.db, &context.watchers, (user, run), after, true);
    let limits = get::limits(&context.db, &context.plans, user, run.run).await?;
    let running_cap = running_cap(&context, &visitor);
    let thread = Thread { visitor, run: run.run, limits, running_cap, last_summary: String::new() };
    Ok(respond(context, thread, follow, places))
}

/// What the page's script shows as text until the answer is recorded.
#[derive(Serialize)]
struct Words<'w> {
    text: &'w str,
    restart: bool,
}

/// The stream of a page of the console.
struct Thread {
    visitor: Visitor,
    run: RunId,
    limits: Limits,
    running_cap: u32,
    last_summary: String,
}

impl Face for Thread {
    const NAME: &'static str = "console";

    async fn render(&mut self, context: &Context, followed: Followed) -> Result<String, ApiError> {
        match followed {
            Followed::Events(events) => {
                let (run, last) = (self.run, events.last().map(|event| event.seq));
                // Rendering Markdown takes time, so it does not run on a thread that serves other requests.
                let html = block(move || thread::render(run, &events)).await?;
                Ok(message("events", last, &html))
            }
            Followed::Words { text, restart, .. } => {
                let words = serde_json::to_string(&Words { text: &text, restart });
                Ok(message("words", None, &words.map_err(|error| ApiError::fault(&error))?))
            }
            Followed::UpToDate => self.summary(context).await,
            Followed::Over => Ok(self.summary(context).await? + &message("over", None, "")),
            Followed::Deleted | Followed::Waited => Ok(String::new()),
        }
    }

    async fn is_allowed(&self, context: &Context) -> Result<bool, DbError> {
        sessions::is_alive(&context.db, self.visitor.session.id).await
    }

    fn farewell(&self) -> String {
        message("signed-out", None, "")
    }
}

impl Thread {
    /// The summary of the run, if it changed.
    async fn summary(&mut self, context: &Context) -> Result<String, ApiError> {
        let run = self.load(context).await?;
        let (limits, running_cap, token) = (self.limits, self.running_cap, self.visitor.form_token.clone());
        let summary = block(move || render(&Summary::of(&run, &limits, running_cap, &token))).await?;
        if summary == self.last_summary {
            return Ok(String::new());
        }
        let piece = message("summary", None, &summary);
        self.last_summary = summary;
        Ok(piece)
    }

    /// The run. Its result may be large, so it is loaded only when the run is over.
    async fn load(&self, context: &Context) -> Result<RunView, ApiError> {
        let (db, viewer, user) = (&context.db, &context.viewer, self.visitor.user());
        let run = get::load_summary(db, viewer, user, self.run).await?;
        if run.is_over() {
            return Ok(get::load(db, viewer, user, RunRef::of_any_app(self.run)).await?);
        }
        Ok(run)
    }
}
