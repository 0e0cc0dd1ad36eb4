//! The tab Run: a form with the app's input fields, and the run that it starts.

mod inputs;
mod page;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use gateway_domain::Refusal;
use gateway_domain::accounts::quotas::account_use;
use gateway_domain::apps::CurrentApp;
use gateway_domain::runs::{
    Create, CreateRequest, DEFAULT_QUEUE_TIMEOUT, Earlier, IdempotencyKey, RunRef, get,
};
use serde_json::{Map, Value};
use shared::apps::InputField;
use shared::ids::RunId;
use uuid::Uuid;

use self::inputs::{INPUT, as_text, inputs};
use self::page::Page;
use crate::console::form::Form;
use crate::console::format::bytes;
use crate::console::owned::OwnApp;
use crate::console::page::{block, html, parameter, render, see_other, show_as};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::middleware::request_id;
use crate::http::multipart::{BrowserForm, begin_form, read_browser_form};

/// The path of the idempotency keys of forms.
const PATH: &str = "/console";

/// GET /apps/{appId}: the form with the app's defaults, or with the inputs of the run `from`.
pub(crate) async fn form(
    OwnApp { visitor, app }: OwnApp,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut before = Value::Null;
    let mut model = String::new();
    if let Some(run) = parameter(&request, "from").and_then(|id| id.parse::<RunId>().ok()) {
        let run = RunRef { run, app: Some(app.id) };
        match get::load(&context.db, &context.viewer, visitor.user(), run).await {
            Ok(run) => {
                before = run.inputs.unwrap_or_default();
                model = run.chat_model_id;
            }
            Err(Refusal::NotFound(_)) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    let mut page = Page::new(&visitor, &app, &context, |field| {
        let default = field.default.as_ref().map(as_text).unwrap_or_default();
        before.get(&field.name).map_or(default, as_text)
    });
    page.model = if model == page.default_model { String::new() } else { model };
    page.room = room(&context, &visitor, &page).await?;
    // The inputs of a run may have 1 MiB, and the form must hold all of them.
    Ok(html(StatusCode::OK, block(move || render(&page)).await?))
}

/// What the account may still store, if the page takes files and the plan has a quota.
async fn room(context: &Context, visitor: &Visitor, page: &Page) -> Result<Option<String>, ApiError> {
    let most = context.plans.quotas(&visitor.session.plan).max_stored_bytes;
    let Some(most) = most.filter(|_| page.takes_files()) else { return Ok(None) };
    let used = account_use(&context.db, visitor.user()).await?.stored_bytes;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    Ok(Some(format!("{} of {} free", bytes((most - used).max(0)), bytes(most))))
}

/// POST /apps/{appId}/run. The form holds files, so this handler reads it itself and checks its token.
pub(crate) async fn handle(
    OwnApp { visitor, app }: OwnApp,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = RunId::generate();
    let (user, app_id, quotas) = (visitor.user(), app.id, context.plans.quotas(&visitor.session.plan));
    let mut files = context.uploads_of(id, user, &quotas, true);
    let beginning = parameter(&request, "once").and_then(|form| beginning(&form));
    let earlier = beginning.as_deref().map(|beginning| Earlier::Beginning(PATH, beginning));
    let _upload = begin_form(&context, &request, (user, &quotas), earlier, &mut files).await?;
    let BrowserForm { texts, bytes: request_bytes, refused_files } =
        read_browser_form(&request, payload, &mut files).await?;
    let form = Form::of(texts.into_iter())?;
    form.check_token(&visitor)?;
    if let Some(why) = refused_files {
        let mut page = filled(&visitor, &app, &context, &form);
        page.set_error(format!("Not started: {why}"));
        page.room = room(&context, &visitor, &page).await?;
        return show_as(StatusCode::BAD_REQUEST, &page);
    }
    files.strip_prefix(INPUT);
    let body = CreateRequest {
        app_id: None,
        inputs: inputs(&app.definition.inputs, &form),
        chat_model_id: Some(form.text("model")).filter(|id| !id.is_empty()).map(str::to_owned),
        webhook_url: None,
        webhook_events: None,
        metadata: Value::Object(Map::new()),
        queue_timeout_seconds: DEFAULT_QUEUE_TIMEOUT,
    };
    let fields = body.fields(app.id, files.fields());
    let idempotency_key = idempotency_key(form.text("once"), fields);
    let request_id = request_id(&request);
    let create = Create {
        id,
        user,
        key: None,
        app_id,
        body,
        files,
        webhook: None,
        idempotency_key,
        request_id,
        quotas,
        request_bytes,
    };
    match create.run(&context.intake).await {
        Ok(created) => Ok(see_other(&format!("/runs/{}", created.run()))),
        Err(refusal) if can_be_corrected(&refusal) => {
            let mut page = filled(&visitor, &app, &context, &form);
            page.add_errors(&refusal);
            page.room = room(&context, &visitor, &page).await?;
            let over_quota = matches!(refusal, Refusal::QuotaExceeded(_));
            show_as(if over_quota { StatusCode::CONFLICT } else { StatusCode::BAD_REQUEST }, &page)
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// The page with the texts of the form.
fn filled(visitor: &Visitor, app: &CurrentApp, context: &Context, form: &Form) -> Page {
    let text = |field: &InputField| form.text(&format!("{INPUT}{}", field.name)).to_owned();
    let mut page = Page::new(visitor, app, context, text);
    form.text("model").clone_into(&mut page.model);
    page
}

/// Whether the user can correct the form and send it again.
const fn can_be_corrected(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::InvalidRequest(..)
            | Refusal::InvalidInputs(_)
            | Refusal::UnknownModel { .. }
            | Refusal::ModelLacksTools { .. }
            | Refusal::ModelLacksVision { .. }
            | Refusal::AppArchived
            | Refusal::SearchMissing(_)
            | Refusal::QuotaExceeded(_)
    )
}

/// The same form with the same fields creates one run, however often it is sent.
fn idempotency_key(form: &str, fields: Value) -> Option<IdempotencyKey> {
    let beginning = beginning(form)?;
    let mut key = IdempotencyKey::new(PATH.to_owned(), String::new(), fields);
    key.key = beginning + &BASE64_URL_SAFE_NO_PAD.encode(&key.request_hash);
    Some(key)
}

/// What the keys of a form begin with.
fn beginning(form: &str) -> Option<String> {
    let form: Uuid = form.parse().ok()?;
    Some(format!("{form}-"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_that_is_sent_twice_has_one_key() {
        let nonce = Uuid::new_v4().to_string();
        let key = |fields: Value| idempotency_key(&nonce, fields).map(|key| key.key);
        assert_eq!(key(json!({"a": 1})), key(json!({"a": 1.0})));
        assert_ne!(key(json!({"a": 1})), key(json!({"a": 2})));
        assert!(idempotency_key("x", json!({})).is_none());
    }
}
