//! From the editor's fields to an app, with each error at its field.

use gateway_domain::apps::{Checks, DefinitionFieldError, check_ceilings, check_definition};
use gateway_domain::json_value;
use shared::apps::{AppDefinition, FetchRules, FetchUrls, Output, WebSearch};
use shared::config::Plan;
use shared::definition_checker::CheckError;
use shared::limits::Limits;
use shared::tools::WEB_SEARCH;

use super::Draft;
use crate::console::format::{counted, sentence};

/// The path of the search provider.
const PROVIDER: &str = "tools.web_search.provider";

impl Draft {
    /// The app, if all fields are right. Otherwise each error is added to its field.
    pub(crate) async fn check(
        &mut self,
        with: Checks<'_>,
        (name, plan): (&str, Option<&Plan>),
    ) -> Result<Option<AppDefinition>, CheckError> {
        let (app, mut errors) = self.parse();
        // The parser put a placeholder in place of a text it cannot read: only its own error counts.
        let unread: Vec<String> = errors.iter().map(|error| error.at.clone()).collect();
        let checked = check_definition(&app, with).await?.into_iter();
        let checked = checked.chain(check_ceilings(&app, name, plan));
        errors.extend(checked.filter(|error| !unread.contains(&error.at)));
        if errors.is_empty() {
            return Ok(Some(app));
        }
        for DefinitionFieldError { at, message, .. } in errors {
            let message = in_words(&at, &message);
            self.add_error(&at, message);
        }
        Ok(None)
    }

    fn parse(&self) -> (AppDefinition, Vec<DefinitionFieldError>) {
        let mut errors = Vec::new();
        let inputs = self.fields.iter().enumerate().map(|(at, row)| {
            let (field, wrong) = row.field();
            errors.extend(wrong.map(|message| DefinitionFieldError::at(format!("inputs[{at}]"), message)));
            field
        });
        let inputs = inputs.collect();
        let mut limits = Limits::default();
        for (limit, row) in Limits::ALL.iter().zip(&self.limits) {
            let value = row.value.parse().unwrap_or_else(|_| {
                let at = format!("limits.{}", limit.name);
                errors.push(DefinitionFieldError::at(at, "must be a whole number"));
                0
            });
            (limit.set)(&mut limits, value);
        }
        let output = match self.schema.trim() {
            "" => None,
            text => match json_value(text.as_bytes()) {
                Ok((schema, _)) => Some(Output { schema }),
                Err(error) => {
                    let message = format!("the schema is not JSON: {error}");
                    errors.push(DefinitionFieldError::at("output.schema", message));
                    None
                }
            },
        };
        let (fetch, wrong) = self.fetch();
        errors.extend(wrong);
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
            fetch,
            web_search: self.web_search(),
        };
        (app, errors)
    }

    /// Without the tool, its settings count for nothing.
    fn web_search(&self) -> WebSearch {
        let searches = self.tools.iter().any(|(tool, on)| *on && tool == WEB_SEARCH);
        let provider = Some(self.search_provider.clone()).filter(|name| searches && !name.is_empty());
        WebSearch { provider }
    }

    /// A form without these fields restricts nothing.
    fn fetch(&self) -> (FetchRules, Option<DefinitionFieldError>) {
        let hosts = self.fetch_hosts.lines().map(str::trim).filter(|host| !host.is_empty());
        let urls = FetchUrls::ALL.into_iter().find(|urls| urls.as_str() == self.fetch_urls);
        let wrong = (urls.is_none() && !self.fetch_urls.is_empty())
            .then(|| DefinitionFieldError::at("fetch.urls", "choose one of the entries"));
        (FetchRules { hosts: hosts.map(str::to_owned).collect(), urls: urls.unwrap_or_default() }, wrong)
    }

    /// Adds an error to the field at the path `at`.
    pub(crate) fn add_error(&mut self, at: &str, message: String) {
        let row = at.strip_prefix("inputs[").and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok());
        if let Some(row) = row.and_then(|row| self.fields.get_mut(row)) {
            row.errors.push(message);
        } else if let Some(limit) =
            at.strip_prefix("limits.").and_then(|name| self.limits.iter_mut().find(|row| row.name == name))
        {
            limit.error = Some(message);
        } else {
            self.errors.push((at.to_owned(), message));
        }
    }

    /// The error at the path `at`, if that has no row.
    pub(crate) fn error(&self, at: &str) -> Option<&str> {
        self.errors.iter().find(|(path, _)| path == at).map(|(_, message)| message.as_str())
    }

    /// One line for the top of the page: the fields to fix, by their names on the page.
    pub(crate) fn summary(&self) -> String {
        if let Some(message) = self.error("") {
            return format!("Not saved. {message}");
        }
        let wrong = self.wrong_fields();
        format!("Not saved. Fix {}: {}.", counted(wrong.len(), "field"), wrong.join(", "))
    }

    fn wrong_fields(&self) -> Vec<String> {
        let named = |at: &str, name: &str| self.error(at).map(|_| name.to_owned());
        let rows = self.fields.iter().enumerate().filter(|(_, row)| !row.errors.is_empty());
        let rows = rows.map(|(at, row)| match row.name.as_str() {
            "" => format!("Input field {}", at + 1),
            name => format!("Input field {name}"),
        });
        let limits = self.limits.iter().filter(|row| row.error.is_some()).map(|row| row.label.to_owned());
        let before = [named("name", "Name"), named("inputs", "Input fields")];
        let between = [
            named("prompt", "Prompt"),
            named("tools", "Tools"),
            named(PROVIDER, "Search provider"),
            named("model", "Model"),
        ];
        let wrong = before.into_iter().flatten().chain(rows).chain(between.into_iter().flatten());
        let fetch = [named("fetch.hosts", "Hosts"), named("fetch.urls", "URLs")];
        let wrong = wrong.chain(fetch.into_iter().flatten());
        wrong.chain(limits).chain(named("output.schema", "Output schema")).collect()
    }
}

/// The domain's message for the page, where it stands below the field and needs no path.
fn in_words(at: &str, message: &str) -> String {
    if at == "model" {
        return "This model is not available here. Choose another one.".to_owned();
    }
    if at == PROVIDER {
        return "This provider is not available here. Choose another one, or ask the operator to add it to \
                the file of CAPI_SEARCH."
            .to_owned();
    }
    if at == "tools" && message.contains("CAPI_SEARCH") {
        return "This installation has no search provider. Remove web_search, or ask its operator to set \
                CAPI_SEARCH."
            .to_owned();
    }
    if at == "fetch.hosts" && message.starts_with("urls = ") {
        return "Name at least one host, or choose other URLs.".to_owned();
    }
    let without_path = message.strip_prefix(at).map(str::trim_start).filter(|rest| !rest.is_empty());
    sentence(without_path.unwrap_or(message))
}
