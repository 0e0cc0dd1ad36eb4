//! The tab Run: a form made of the app's input fields, and the run that it starts.

mod inputs;
mod page;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Map, Value};
use shared::ids::RunId;
use uuid::Uuid;

use super::super::form::Form;
use super::super::page::{parameter, see_other, show_as};
use super::super::visitor::Visitor;
use super::app_of;
use crate::context::Context;
use crate::error::ApiError;
use crate::idempotency::Once;
use crate::runs::{Create, CreateRequest, DEFAULT_QUEUE_TIMEOUT, Uploads, read_browser_form};
use inputs::{INPUT, inputs, shown};
use page::Page;

/// GET /apps/{appId}: empty, or as the run of `from` was started.
pub(in crate::console) async fn form(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let app = app_of(&context, &visitor, &path).await?;
    let mut before = Value::Null;
    let mut model = String::new();
    if let Some(run) = parameter(&request, "from").and_then(|id| id.parse::<RunId>().ok()) {
        let (viewer, user) = (&context.viewer, visitor.user());
        let loading = context.db.read(|mut conn| async move { viewer.load(&mut conn, user, run).await });
        if let Some(run) = loading.await?.filter(|run| run.app_id == app.id) {
            before = run.inputs.unwrap_or_default();
            model = run.chat_model_id;
        }
    }
    let mut page = Page::new(&visitor, &app, &context, |field| {
        let own = field.default.as_ref().map(shown).unwrap_or_default();
        before.get(&field.name).map_or(own, shown)
    });
    page.model = if model == page.default_model { String::new() } else { model };
    show_as(StatusCode::OK, &page)
}

/// POST /apps/{appId}/run
pub(in crate::console) async fn handle(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let app = app_of(&context, &visitor, &path).await?;
    let id = RunId::generate();
    let mut files = Uploads::new(id, &context.artifacts, true);
    let form = Form::of(read_browser_form(&request, payload, &mut files).await?.into_iter())?;
    form.check(&visitor)?;
    files.strip_prefix(INPUT);
    let body = CreateRequest {
        app_id: None,
        inputs: inputs(&app.definition.inputs, &form),
        chat_model_id: Some(form.text("model")).filter(|id| !id.is_empty()).map(str::to_owned),
        webhook_url: None,
        metadata: Value::Object(Map::new()),
        queue_timeout_seconds: DEFAULT_QUEUE_TIMEOUT,
    };
    let fields = body.fields(app.id, files.fields());
    let once = once(form.text("once"), &fields);
    let create =
        Create { id, user: visitor.user(), key: None, app_id: app.id, body, files, webhook: None, once };
    let accepting = create.accept_and_nudge(context.clone());
    // In a task of its own: a browser that goes on must not leave a run that nobody is shown.
    match actix_web::rt::spawn(accepting).await.map_err(|_| ApiError::Internal)? {
        Ok(created) => Ok(see_other(&format!("/runs/{}", created.run()))),
        Err(error) if error.is_the_callers() => {
            let mut page = Page::new(&visitor, &app, &context, |field| {
                form.text(&format!("{INPUT}{}", field.name)).to_owned()
            });
            form.text("model").clone_into(&mut page.model);
            page.blame(&error);
            show_as(StatusCode::BAD_REQUEST, &page)
        }
        Err(error) => Err(error),
    }
}

/// The same form with the same fields is the same run, however often a button is pressed.
fn once(form: &str, fields: &Value) -> Option<Once> {
    let form: Uuid = form.parse().ok()?;
    let mut once = Once::new("/console".to_owned(), String::new(), fields);
    let hash = BASE64_URL_SAFE_NO_PAD.encode(&once.request_hash);
    once.key = format!("{form}-{hash}");
    Some(once)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_form_is_the_same_run() {
        let nonce = Uuid::new_v4().to_string();
        assert!(once(&nonce, &json!({"a": 1})) == once(&nonce, &json!({"a": 1})));
        assert!(once(&nonce, &json!({"a": 1})) != once(&nonce, &json!({"a": 2})));
        assert!(once("x", &json!({})).is_none());
    }
}
