//! The tab Run: a form made of the app's input fields, and the run that it starts.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Map, Number, Value};
use shared::apps::{InputField, InputType};
use shared::ids::RunId;
use uuid::Uuid;

use super::super::form::Form;
use super::super::page::{Frame, see_other, show_as};
use super::super::visitor::Visitor;
use super::{Header, Tab, app_of};
use crate::apps::CurrentApp;
use crate::context::Context;
use crate::error::ApiError;
use crate::idempotency::Once;
use crate::mistake::{FieldError, Place};
use crate::runs::{Create, CreateRequest, DEFAULT_QUEUE_TIMEOUT, Uploads, read_browser_form};

/// Begins the names of the inputs' fields, so that no input is taken for a field of ours.
const INPUT: &str = "input.";

struct Field {
    name: String,
    label: String,
    kind: InputType,
    required: bool,
    options: Vec<String>,
    value: String,
    error: Option<String>,
}

impl Field {
    fn is(&self, kind: &str) -> bool {
        let own = match self.kind {
            InputType::Text => "text",
            InputType::Number => "number",
            InputType::Boolean => "boolean",
            InputType::Select => "select",
            InputType::File => "file",
        };
        own == kind
    }
}

#[derive(Template)]
#[template(path = "app/start.html")]
struct Page {
    frame: Frame,
    app: Header,
    fields: Vec<Field>,
    takes_files: bool,
    models: Vec<(String, String)>,
    default_model: String,
    model: String,
    error: Option<String>,
    /// Sent along: the same form sent twice is one run.
    once: String,
}

impl Page {
    fn new(
        visitor: &Visitor,
        app: &CurrentApp,
        context: &Context,
        value: impl Fn(&InputField) -> String,
    ) -> Self {
        let header = Header::new(app, Tab::Run);
        let definition = &app.definition;
        let field = |field: &InputField| Field {
            name: field.name.clone(),
            label: field.label.clone().unwrap_or_else(|| field.name.clone()),
            kind: field.r#type,
            required: field.required,
            options: field.options.clone(),
            value: value(field),
            error: None,
        };
        let models = context.models.all().iter().filter(|model| definition.tools.is_empty() || model.tools);
        Self {
            frame: header.frame(visitor),
            app: header,
            fields: definition.inputs.iter().map(field).collect(),
            takes_files: definition.reads_files(),
            models: models.map(|model| (model.id.clone(), model.name.clone())).collect(),
            default_model: definition
                .model
                .clone()
                .unwrap_or_else(|| context.models.default_model().id.clone()),
            model: String::new(),
            error: None,
            once: Uuid::new_v4().to_string(),
        }
    }

    /// Puts each mistake to its field; what has none stands above.
    fn blame(&mut self, error: &ApiError) {
        let mut above = Vec::new();
        for FieldError { place, message, .. } in error.field_errors() {
            let name = match &place {
                Place::Pointer(pointer) => pointer.strip_prefix("/inputs/").unwrap_or_default(),
                Place::Part(name) | Place::Parameter(name) | Place::Header(name) => name,
            };
            match self.fields.iter_mut().find(|field| field.name == name) {
                Some(field) => field.error = Some(message),
                None => above.push(message),
            }
        }
        if above.is_empty() && self.fields.iter().all(|field| field.error.is_none()) {
            above.push(error.detail());
        }
        self.error = (!above.is_empty()).then(|| above.join("; "));
    }
}

/// A value as a form shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

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
    if let Some(run) = query(&request).get("from").and_then(|id| id.parse::<RunId>().ok()) {
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

fn query(request: &HttpRequest) -> HashMap<String, String> {
    url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect()
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

/// The form's texts as JSON values of the fields' types; what does not fit stays text, for the check to name.
fn inputs(fields: &[InputField], form: &Form) -> Map<String, Value> {
    let mut inputs = Map::new();
    for field in fields {
        let Some(text) = form.get(&format!("{INPUT}{}", field.name)) else { continue };
        if text.is_empty() && (field.required || field.default.is_none() || field.r#type != InputType::Text) {
            continue;
        }
        let value = match field.r#type {
            InputType::Number => number(text).map_or_else(|| text.into(), Value::Number),
            InputType::Boolean => text.parse::<bool>().map_or_else(|_| text.into(), Value::Bool),
            InputType::Text | InputType::Select => text.into(),
            InputType::File => continue,
        };
        inputs.insert(field.name.clone(), value);
    }
    inputs
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    text.parse::<i64>().ok().map(Number::from).or_else(|| Number::from_f64(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_become_values_of_the_fields_types() {
        let field = |name: &str, kind: &str, default: Value| -> InputField {
            serde_json::from_value(json!({"name": name, "type": kind, "default": default})).unwrap()
        };
        let fields = [
            field("t", "text", json!("x")),
            field("u", "text", Value::Null),
            field("n", "number", Value::Null),
            field("m", "number", Value::Null),
            field("b", "boolean", Value::Null),
        ];
        let pairs = [
            ("input.t", ""),
            ("input.u", ""),
            ("input.n", "2.5"),
            ("input.m", "two"),
            ("input.b", "true"),
            ("t", "no"),
        ];
        let form =
            Form::of(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))).unwrap();
        assert_eq!(json!(inputs(&fields, &form)), json!({"t": "", "n": 2.5, "m": "two", "b": true}));
    }

    #[test]
    fn the_same_form_is_the_same_run() {
        let nonce = Uuid::new_v4().to_string();
        assert!(once(&nonce, &json!({"a": 1})) == once(&nonce, &json!({"a": 1})));
        assert!(once(&nonce, &json!({"a": 1})) != once(&nonce, &json!({"a": 2})));
        assert!(once("x", &json!({})).is_none());
    }
}
