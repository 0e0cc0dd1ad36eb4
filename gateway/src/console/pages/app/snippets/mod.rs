//! Programs that run an app: templates in this folder, filled with the app's address and sample inputs.
//! They read the key from the environment, so that it is in no file. Pure.

mod quote;
mod sample;
#[cfg(test)]
mod tests;

use askama::Template;
use serde_json::Value;
use shared::apps::{AppDefinition, InputType};

use self::quote::{json, json_for_ci, python, shell, yaml};
pub(crate) use self::sample::sample_inputs;
use self::sample::{file_name, shorten};

const GITHUB_NEEDS: &str = "Save it as .github/workflows/capi.yml, and the key as the repository's secret \
                            CAPI_API_KEY. It downloads a script from this installation.";
const GITLAB_NEEDS: &str = "Add it to .gitlab-ci.yml, and the key as the project's masked variable \
                            CAPI_API_KEY. It downloads a script from this installation.";

/// One way to call the API.
pub(crate) struct Snippet {
    pub(crate) id: &'static str,
    pub(crate) label: &'static str,
    /// What it needs, and where it belongs.
    pub(crate) needs: &'static str,
    pub(crate) code: String,
}

/// A file that the program sends.
struct File<'a> {
    field: &'a str,
    path: String,
}

/// What the templates share. Each text is quoted for the language of the template.
struct Filled<'a> {
    /// The address of the installation.
    url: String,
    app: &'a str,
    /// The address of the app's runs.
    runs: String,
    inputs: String,
    files: &'a [File<'a>],
}

macro_rules! snippets {
    ($($name:ident $path:literal;)*) => {
        $(#[derive(Template)]
        #[template(path = $path, syntax = "code", escape = "none")]
        struct $name<'a> {
            with: Filled<'a>,
        })*
    };
}

snippets! {
    Curl "app/snippets/curl.sh";
    Python "app/snippets/python.py";
    JavaScript "app/snippets/javascript.mjs";
    GitHub "app/snippets/github.yml";
    GitLab "app/snippets/gitlab.yml";
}

impl Snippet {
    fn of([id, label, needs]: [&'static str; 3], template: &impl Template) -> Result<Self, askama::Error> {
        Ok(Self { id, label, needs, code: template.render()? })
    }
}

/// Programs that run this app at the installation's address.
pub(crate) fn snippets(base: &str, app_id: &str, app: &AppDefinition) -> Result<Vec<Snippet>, askama::Error> {
    let (inputs, files) = (values(app), files(app));
    let base = base.trim_end_matches('/');
    let runs = format!("{base}/api/v1/apps/{app_id}/runs");
    let filled = |text: fn(&str) -> String, value: fn(&Value) -> String| Filled {
        url: text(base),
        app: app_id,
        runs: text(&runs),
        inputs: value(&inputs),
        files: &files,
    };
    let in_code = |text: &str| json(&Value::from(text));
    let in_shell = |value: &Value| shell(&json(value));
    let in_yaml = |value: &Value| yaml(&json_for_ci(value));
    Ok(vec![
        Snippet::of(
            ["curl", "curl", "Needs bash, curl 7.71 or newer, and jq."],
            &Curl { with: filled(shell, in_shell) },
        )?,
        Snippet::of(
            ["python", "Python", "Needs Python 3.8 or newer, and no packages."],
            &Python { with: filled(in_code, python) },
        )?,
        Snippet::of(
            ["javascript", "JavaScript", "Save it as run.mjs. Needs Node.js 18 or newer, and no packages."],
            &JavaScript { with: filled(in_code, json) },
        )?,
        Snippet::of(["github", "GitHub Action", GITHUB_NEEDS], &GitHub { with: filled(yaml, in_yaml) })?,
        Snippet::of(["gitlab", "GitLab CI", GITLAB_NEEDS], &GitLab { with: filled(yaml, in_yaml) })?,
    ])
}

/// The inputs of the examples, without files.
fn values(app: &AppDefinition) -> Value {
    let mut inputs = sample_inputs(&app.inputs);
    for field in &app.inputs {
        match (field.r#type, inputs.get_mut(&field.name)) {
            (InputType::Text, Some(value)) => shorten(value),
            (InputType::File, _) => drop(inputs.as_object_mut().and_then(|all| all.remove(&field.name))),
            _ => {}
        }
    }
    inputs
}

fn files(app: &AppDefinition) -> Vec<File<'_>> {
    let fields = app.inputs.iter().filter(|field| field.r#type == InputType::File);
    fields.map(|field| File { field: &field.name, path: file_name(field) }).collect()
}
