//! An app as its editor's form has it, and back: pure. Every field keeps what was typed, right or wrong.

mod row;
#[cfg(test)]
mod tests;

use gateway_domain::apps::{DefinitionFault, check_definition};
use shared::apps::{AppDefinition, Output};
use shared::config::ModelsFile;
use shared::limits::{Limit, Limits};
use shared::tools::TOOLS;

use super::super::form::Form;
pub(super) use row::FieldRow;

/// Rows of input fields that are read at most; the check refuses fewer.
const MAX_ROWS: usize = 200;

/// A limit of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LimitRow {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) error: Option<String>,
}

/// The editor's fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) instructions: String,
    pub(super) prompt: String,
    pub(super) fields: Vec<FieldRow>,
    /// Each with whether it is chosen.
    pub(super) tools: Vec<(String, bool)>,
    pub(super) model: String,
    pub(super) limits: Vec<LimitRow>,
    pub(super) schema: String,
    /// Mistakes at everything that has no row of its own.
    mistakes: Vec<(String, String)>,
}

fn limit_rows(value: impl Fn(&Limit) -> String) -> Vec<LimitRow> {
    let row =
        |limit: &Limit| LimitRow { name: limit.name, label: limit.label, value: value(limit), error: None };
    Limits::ALL.iter().map(row).collect()
}

fn tool_rows(chosen: impl Fn(&str) -> bool) -> Vec<(String, bool)> {
    TOOLS.into_iter().map(|tool| (tool.to_owned(), chosen(tool))).collect()
}

impl Draft {
    /// As the app is.
    pub(super) fn of(app: &AppDefinition) -> Self {
        let schema = app.output.as_ref().and_then(|output| serde_json::to_string_pretty(&output.schema).ok());
        Self {
            name: app.name.clone(),
            description: app.description.clone(),
            instructions: app.instructions.clone(),
            prompt: app.prompt.clone(),
            fields: app.inputs.iter().map(FieldRow::of).collect(),
            tools: tool_rows(|tool| app.tools.iter().any(|own| own == tool)),
            model: app.model.clone().unwrap_or_default(),
            limits: limit_rows(|limit| (limit.get)(&app.limits).to_string()),
            schema: schema.unwrap_or_default(),
            mistakes: Vec::new(),
        }
    }

    /// As it was typed. A row without any text is none.
    pub(super) fn read(form: &Form) -> Self {
        let columns = ["name", "label", "type", "required", "default", "options"]
            .map(|column| form.all(&format!("field.{column}")));
        let rows = columns[0].len().min(MAX_ROWS);
        let cell =
            |column: usize, row: usize| columns[column].get(row).copied().unwrap_or_default().to_owned();
        let row = |at: usize| FieldRow {
            name: cell(0, at).trim().to_owned(),
            label: cell(1, at),
            kind: cell(2, at),
            required: cell(3, at) == "yes",
            default: cell(4, at),
            options: cell(5, at),
            errors: Vec::new(),
        };
        let is_empty = |row: &FieldRow| {
            [&row.name, &row.label, &row.default, &row.options].iter().all(|text| text.trim().is_empty())
        };
        let chosen = form.all("tools");
        let text = |name: &str| form.text(name).to_owned();
        Self {
            name: form.text("name").trim().to_owned(),
            description: text("description"),
            instructions: text("instructions"),
            prompt: text("prompt"),
            fields: (0..rows).map(row).filter(|row| !is_empty(row)).collect(),
            tools: tool_rows(|tool| chosen.contains(&tool)),
            model: text("model"),
            limits: limit_rows(|limit| form.text(&format!("limits.{}", limit.name)).trim().to_owned()),
            schema: text("schema"),
            mistakes: Vec::new(),
        }
    }

    /// The app, if everything is right; else each mistake is put to its field.
    pub(super) fn check(&mut self, models: &ModelsFile) -> Option<AppDefinition> {
        let (app, mut mistakes) = self.app();
        // What cannot be read was taken for something else: only the first word on a field counts.
        let read: Vec<String> = mistakes.iter().map(|mistake| mistake.at.clone()).collect();
        let checked = check_definition(&app, models).into_iter();
        mistakes.extend(checked.filter(|mistake| !read.contains(&mistake.at)));
        if mistakes.is_empty() {
            return Some(app);
        }
        for DefinitionFault { at, message, .. } in mistakes {
            self.blame(&at, message);
        }
        None
    }

    fn app(&self) -> (AppDefinition, Vec<DefinitionFault>) {
        let mut mistakes = Vec::new();
        let inputs = self.fields.iter().enumerate().map(|(at, row)| {
            let (field, wrong) = row.field();
            mistakes.extend(wrong.map(|message| DefinitionFault::at(format!("inputs[{at}]"), message)));
            field
        });
        let inputs = inputs.collect();
        let mut limits = Limits::default();
        for (limit, row) in Limits::ALL.iter().zip(&self.limits) {
            let value = row.value.parse().unwrap_or_else(|_| {
                let at = format!("limits.{}", limit.name);
                mistakes.push(DefinitionFault::at(at, "must be a whole number"));
                0
            });
            (limit.set)(&mut limits, value);
        }
        let output = match self.schema.trim() {
            "" => None,
            text => match crate::http::extract::json_value(text.as_bytes()) {
                Ok(schema) => Some(Output { schema }),
                Err(error) => {
                    mistakes.push(DefinitionFault::at("output.schema", format!("is not JSON: {error}")));
                    None
                }
            },
        };
        let app = AppDefinition {
            name: self.name.clone(),
            description: self.description.clone(),
            instructions: self.instructions.clone(),
            prompt: self.prompt.clone(),
            inputs,
            model: Some(self.model.clone()).filter(|model| !model.is_empty()),
            tools: self.tools.iter().filter(|(_, on)| *on).map(|(tool, _)| tool.clone()).collect(),
            output,
            limits,
        };
        (app, mistakes)
    }

    /// Puts a mistake to its field.
    pub(super) fn blame(&mut self, at: &str, message: String) {
        let row = at.strip_prefix("inputs[").and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok());
        if let Some(row) = row.and_then(|row| self.fields.get_mut(row)) {
            row.errors.push(message);
        } else if let Some(limit) =
            at.strip_prefix("limits.").and_then(|name| self.limits.iter_mut().find(|row| row.name == name))
        {
            limit.error = Some(message);
        } else {
            self.mistakes.push((at.to_owned(), message));
        }
    }

    /// What is wrong there.
    pub(super) fn mistake(&self, at: &str) -> Option<&str> {
        self.mistakes.iter().find(|(place, _)| place == at).map(|(_, message)| message.as_str())
    }
}
