//! A row of the editor's input fields.

use serde_json::Value;
use shared::apps::{InputField, InputType};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FieldRow {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) kind: String,
    pub(crate) required: bool,
    pub(crate) default: String,
    /// One option a line.
    pub(crate) options: String,
    pub(crate) errors: Vec<String>,
}

impl FieldRow {
    pub(crate) fn of(field: &InputField) -> Self {
        let kind = serde_json::to_value(field.r#type).ok().and_then(|kind| kind.as_str().map(str::to_owned));
        let default = match &field.default {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Self {
            name: field.name.clone(),
            label: field.label.clone().unwrap_or_default(),
            kind: kind.unwrap_or_default(),
            required: field.required,
            default,
            options: field.options.join("\n"),
            errors: Vec::new(),
        }
    }

    /// The input field, and an error of the row itself.
    pub(crate) fn field(&self) -> (InputField, Option<String>) {
        let kind = serde_json::from_value(Value::from(self.kind.as_str())).unwrap_or(InputType::Text);
        let text = self.default.as_str();
        let default = match kind {
            _ if text.is_empty() => None,
            InputType::Number => Some(serde_json::from_str(text.trim()).unwrap_or_else(|_| text.into())),
            InputType::Boolean => Some(text.trim().parse::<bool>().map_or_else(|_| text.into(), Value::Bool)),
            _ => Some(text.into()),
        };
        let options = self.options.lines().map(str::trim).filter(|option| !option.is_empty());
        let field = InputField {
            name: self.name.clone(),
            label: Some(self.label.trim().to_owned()).filter(|label| !label.is_empty()),
            r#type: kind,
            required: self.required,
            default,
            options: options.map(str::to_owned).collect(),
        };
        (field, self.name.is_empty().then(|| "the field needs a name".to_owned()))
    }
}
