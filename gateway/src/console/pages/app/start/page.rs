//! The page of the tab Run: the app's input fields with their values and errors.

use askama::Template;
use gateway_domain::apps::CurrentApp;
use gateway_domain::{FieldError, Location, Refusal};
use shared::apps::{InputField, InputType};
use shared::config::Model;
use uuid::Uuid;

use crate::console::error_page;
use crate::console::format::{counted, sentence};
use crate::console::page::Frame;
use crate::console::pages::app::{Header, Tab};
use crate::console::session::Visitor;
use crate::context::Context;

/// An input field with its text.
pub(crate) struct Field {
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

    /// An error of this field, in the words on the page.
    fn in_words(&self, code: &str, message: &str) -> String {
        let label = &self.label;
        match (code, self.kind) {
            ("required" | "type", InputType::File) => format!("Choose a file for {label}."),
            ("unsupported", InputType::File) => {
                format!("Choose a picture for {label}: PNG, JPEG, WebP or GIF.")
            }
            ("too_many", InputType::File) => format!("Choose only one file for {label}."),
            ("required", InputType::Boolean | InputType::Select) => format!("Choose a value for {label}."),
            ("required", InputType::Text | InputType::Number) => format!("Fill in {label}."),
            ("type", InputType::Number) => format!("{label} must be a number like 3 or 2.5."),
            ("type", InputType::Boolean | InputType::Select) => {
                format!("Choose one of the values for {label}.")
            }
            _ => sentence(message),
        }
    }
}

/// An error of a file, in the words on the page. Only this page makes the form, so a part has no wrong name.
fn file_sentence(code: &str, message: &str) -> String {
    match code {
        "unsupported" => "This app takes no such files. Remove them.".to_owned(),
        "too_many" => "Choose one file for each input, and the others under Files.".to_owned(),
        "unknown" => "The app has changed meanwhile. Reload this page and choose the files again.".to_owned(),
        _ => sentence(message),
    }
}

#[derive(Template)]
#[template(path = "app/start.html")]
pub(crate) struct Page {
    frame: Frame,
    app: Header,
    fields: Vec<Field>,
    /// Whether it takes files beside those of its file inputs.
    takes_more_files: bool,
    models: Vec<(String, String)>,
    pub(crate) default_model: String,
    demo_models: Vec<String>,
    /// The chosen model. Empty: the app's own.
    pub(crate) model: String,
    error: Option<String>,
    /// What the account may still store.
    pub(crate) room: Option<String>,
    /// A random id: a form that is sent twice creates one run.
    once: String,
}

impl Page {
    pub(crate) fn new(
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
        let (calls, sees) = (!definition.tools.is_empty(), definition.needs_vision());
        let fits = |model: &&Model| (!calls || model.tools) && (!sees || model.vision);
        let models = context.models.all().iter().filter(fits);
        let demo_models = context.models.all().iter().filter(|model| model.is_demo());
        Self {
            frame: header.frame(visitor),
            app: header,
            fields: definition.inputs.iter().map(field).collect(),
            takes_more_files: definition.reads_files(),
            models: models.map(|model| (model.id.clone(), model.label())).collect(),
            default_model: definition
                .model
                .clone()
                .unwrap_or_else(|| context.models.default_model().id.clone()),
            demo_models: demo_models.map(|model| model.id.clone()).collect(),
            model: String::new(),
            error: None,
            room: None,
            once: Uuid::new_v4().to_string(),
        }
    }

    pub(crate) fn takes_files(&self) -> bool {
        self.takes_more_files || self.fields.iter().any(|field| field.kind == InputType::File)
    }

    /// Whether the app can run on this model, or the user chose none.
    fn knows(&self, model: &str) -> bool {
        model.is_empty() || self.models.iter().any(|(id, _)| id == model)
    }

    /// Whether the run would use the demo model.
    fn is_demo(&self) -> bool {
        let model = if self.model.is_empty() { &self.default_model } else { &self.model };
        self.demo_models.contains(model)
    }

    /// Shows this sentence at the top.
    pub(crate) fn set_error(&mut self, error: String) {
        self.error = Some(error);
    }

    /// Adds each error to its field, and the errors of no field to the top of the page.
    pub(crate) fn add_errors(&mut self, refusal: &Refusal) {
        let errors = match refusal {
            Refusal::InvalidRequest(_, errors) | Refusal::InvalidInputs(errors) => errors.as_slice(),
            _ => &[],
        };
        let mut top = Vec::new();
        for FieldError { location, code, message } in errors {
            let name = match location {
                Location::Pointer(pointer) => pointer.strip_prefix("/inputs/").unwrap_or_default(),
                Location::Part(name) | Location::Parameter(name) | Location::Header(name) => name,
            };
            match self.fields.iter_mut().find(|field| field.name == name) {
                Some(field) => field.error = Some(field.in_words(code, message)),
                None if matches!(location, Location::Part(_)) => top.push(file_sentence(code, message)),
                None => top.push(sentence(message)),
            }
        }
        let wrong: Vec<_> = self.fields.iter().filter(|field| field.error.is_some()).collect();
        if !wrong.is_empty() {
            let labels: Vec<_> = wrong.iter().map(|field| field.label.as_str()).collect();
            top.insert(
                0,
                format!("Not started. Fix {}: {}.", counted(wrong.len(), "field"), labels.join(", ")),
            );
        } else if top.is_empty() {
            top.push(error_page::refusal_sentence(refusal));
        }
        self.error = Some(top.join(" "));
    }
}
