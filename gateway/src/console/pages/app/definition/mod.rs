//! An app as the fields of its editor's form, and back. Pure. Each field keeps the text that the user typed,
//! right or wrong.

mod check;
mod row;
#[cfg(test)]
mod tests;

pub(crate) use row::FieldRow;

use shared::apps::AppDefinition;
use shared::limits::{Limit, Limits};
use shared::tools::TOOLS;

use crate::console::form::Form;
use crate::console::shown::json_text;

/// The most rows of input fields that are read. The check allows fewer.
const MAX_ROWS: usize = 200;

/// A limit of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LimitRow {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) value: String,
    pub(crate) error: Option<String>,
}

/// The editor's fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) instructions: String,
    pub(crate) prompt: String,
    pub(crate) fields: Vec<FieldRow>,
    /// All tools, and whether the app has each.
    pub(crate) tools: Vec<(String, bool)>,
    /// The provider of web_search. Empty: the installation's default.
    pub(crate) search_provider: String,
    /// The hosts that may be fetched from, one a line.
    pub(crate) fetch_hosts: String,
    pub(crate) fetch_urls: String,
    pub(crate) model: String,
    pub(crate) limits: Vec<LimitRow>,
    pub(crate) schema: String,
    /// Path and message of the errors that belong to no row.
    errors: Vec<(String, String)>,
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
    /// The fields of a stored app.
    pub(crate) fn of(app: &AppDefinition) -> Self {
        let schema = app.output.as_ref().map(|output| json_text(&output.schema));
        Self {
            name: app.name.clone(),
            description: app.description.clone(),
            instructions: app.instructions.clone(),
            prompt: app.prompt.clone(),
            fields: app.inputs.iter().map(FieldRow::of).collect(),
            tools: tool_rows(|tool| app.tools.iter().any(|own| own == tool)),
            search_provider: app.web_search.provider.clone().unwrap_or_default(),
            fetch_hosts: app.fetch.hosts.join("\n"),
            fetch_urls: app.fetch.urls.as_str().to_owned(),
            model: app.model.clone().unwrap_or_default(),
            limits: limit_rows(|limit| (limit.get)(&app.limits).to_string()),
            schema: schema.unwrap_or_default(),
            errors: Vec::new(),
        }
    }

    /// The fields of a form. A row without text is left out.
    pub(crate) fn read(form: &Form) -> Self {
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
            search_provider: text("search_provider"),
            fetch_hosts: text("fetch.hosts"),
            fetch_urls: text("fetch.urls"),
            model: text("model"),
            limits: limit_rows(|limit| form.text(&format!("limits.{}", limit.name)).trim().to_owned()),
            schema: text("schema"),
            errors: Vec::new(),
        }
    }
}
