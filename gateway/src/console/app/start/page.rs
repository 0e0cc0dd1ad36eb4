//! The form's page: the app's fields with their values and mistakes.

use askama::Template;
use gateway_domain::apps::CurrentApp;
use gateway_domain::{FieldError, Location};
use shared::apps::{InputField, InputType};
use uuid::Uuid;

use super::super::super::page::Frame;
use super::super::super::visitor::Visitor;
use super::super::{Header, Tab};
use crate::context::Context;
use crate::http::ApiError;

/// An input field, and what stands in it.
pub(super) struct Field {
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

/// The page.
#[derive(Template)]
#[template(path = "app/start.html")]
pub(super) struct Page {
    frame: Frame,
    app: Header,
    fields: Vec<Field>,
    takes_files: bool,
    models: Vec<(String, String)>,
    pub(super) default_model: String,
    /// The one that is chosen; the app's own where it is empty.
    pub(super) model: String,
    error: Option<String>,
    /// Sent along: the same form sent twice is one run.
    once: String,
}

impl Page {
    pub(super) fn new(
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

    /// Whether the app can run on this model, or none is chosen.
    fn knows(&self, model: &str) -> bool {
        model.is_empty() || self.models.iter().any(|(id, _)| id == model)
    }

    /// Puts each mistake to its field; what has none stands above.
    pub(super) fn blame(&mut self, error: &ApiError) {
        let mut above = Vec::new();
        for FieldError { location, message, .. } in error.field_errors() {
            let name = match &location {
                Location::Pointer(pointer) => pointer.strip_prefix("/inputs/").unwrap_or_default(),
                Location::Part(name) | Location::Parameter(name) | Location::Header(name) => name,
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
