//! An app as its editor's form has it, and back: pure. Every field keeps what was typed, right or wrong.

mod row;
#[cfg(test)]
mod tests;

use shared::apps::{AppDefinition, Limits, Output};
use shared::config::ModelsFile;
use shared::tools::TOOLS;

use super::super::form::Form;
use crate::apps::{Mistake, check_definition};
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

const LIMITS: [(&str, &str); 6] = [
    ("steps", "Model answers"),
    ("seconds", "Seconds"),
    ("tokens", "Tokens"),
    ("tool_calls", "Tool calls"),
    ("output_bytes", "Bytes of output"),
    ("workspace_bytes", "Bytes of workspace"),
];

fn limit_rows(value: impl Fn(&str) -> String) -> Vec<LimitRow> {
    LIMITS
        .into_iter()
        .map(|(name, label)| LimitRow { name, label, value: value(name), error: None })
        .collect()
}

fn tool_rows(chosen: impl Fn(&str) -> bool) -> Vec<(String, bool)> {
    TOOLS.into_iter().map(|tool| (tool.to_owned(), chosen(tool))).collect()
}

impl Draft {
    /// As the app is.
    pub(super) fn of(app: &AppDefinition) -> Self {
        let Limits { steps, seconds, tokens, tool_calls, output_bytes, workspace_bytes } = app.limits;
        let limit = |name: &str| {
            let limit = match name {
                "steps" => steps,
                "seconds" => seconds,
                "tokens" => tokens,
                "tool_calls" => tool_calls,
                "output_bytes" => output_bytes,
                _ => workspace_bytes,
            };
            limit.to_string()
        };
        let schema = app.output.as_ref().and_then(|output| serde_json::to_string_pretty(&output.schema).ok());
        Self {
            name: app.name.clone(),
            description: app.description.clone(),
            instructions: app.instructions.clone(),
            prompt: app.prompt.clone(),
            fields: app.inputs.iter().map(FieldRow::of).collect(),
            tools: tool_rows(|tool| app.tools.iter().any(|own| own == tool)),
            model: app.model.clone().unwrap_or_default(),
            limits: limit_rows(limit),
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
            limits: limit_rows(|name| form.text(&format!("limits.{name}")).trim().to_owned()),
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
        for Mistake { at, message, .. } in mistakes {
            self.blame(&at, message);
        }
        None
    }

    fn app(&self) -> (AppDefinition, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let inputs = self.fields.iter().enumerate().map(|(at, row)| {
            let (field, wrong) = row.field();
            mistakes.extend(wrong.map(|message| Mistake::at(format!("inputs[{at}]"), message)));
            field
        });
        let inputs = inputs.collect();
        let mut limit = |name: &str| {
            let text = self.limits.iter().find(|row| row.name == name).map_or("", |row| &row.value);
            text.parse().unwrap_or_else(|_| {
                mistakes.push(Mistake::at(format!("limits.{name}"), "must be a whole number".to_owned()));
                0
            })
        };
        let limits = Limits {
            steps: limit("steps"),
            seconds: limit("seconds"),
            tokens: limit("tokens"),
            tool_calls: limit("tool_calls"),
            output_bytes: limit("output_bytes"),
            workspace_bytes: limit("workspace_bytes"),
        };
        let output = match self.schema.trim() {
            "" => None,
            text => match crate::extract::json_value(text.as_bytes()) {
                Ok(schema) => Some(Output { schema }),
                Err(error) => {
                    mistakes.push(Mistake::at("output.schema", format!("is not JSON: {error}")));
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
