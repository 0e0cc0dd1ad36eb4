//! The definitions that a new app can start from: the samples of deploy/apps, and a blank app.

use gateway_domain::apps::{Checks, parse_definition};
use shared::apps::AppDefinition;

use crate::http::ApiError;

pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    file: &'static str,
}

macro_rules! samples {
    ($($name:literal, $file:literal, $about:literal;)*) => {
        &[$(Sample {
            name: $name,
            about: $about,
            file: include_str!(concat!("../../../../../deploy/apps/", $file)),
        },)*]
    };
}

pub(crate) const SAMPLES: &[Sample] = samples! {
    "Summarise", "summarise.toml", "Summarises a text in one or two sentences. Works with every model.";
    "Extract", "extract.toml", "Extracts facts from a text as JSON that follows a schema.";
    "Report", "report.toml", "Reads web pages with tools and writes a report as a file.";
    "Chart", "chart.toml", "Answers a question about a table and draws a chart.";
    "Fix", "fix.toml", "Changes a small program until its tests pass.";
};

const BLANK: &str = r#"
name = "Untitled app"
prompt = "{{ text }}"
[[inputs]]
name = "text"
label = "Text"
type = "text"
required = true
"#;

/// The sample of this name. An empty name gives the blank app.
pub(crate) async fn sample(name: &str, with: Checks<'_>) -> Result<AppDefinition, ApiError> {
    let file = match name {
        "" => BLANK,
        name => SAMPLES.iter().find(|sample| sample.name == name).ok_or(ApiError::not_found("sample"))?.file,
    };
    parse_definition(file, with).await.map_err(|error| ApiError::fault(&error))
}

#[cfg(test)]
mod tests {
    use shared::config::{ModelsFile, SearchFile};
    use shared::definition_checker::DefinitionChecker;
    use shared::ids::UserId;

    use super::*;

    #[tokio::test]
    async fn every_sample_is_a_valid_app() {
        let models = "[[models]]\nid='m'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\nmodel='m'\n";
        let models: ModelsFile = toml::from_str(models).unwrap();
        let (checker, search) = (DefinitionChecker::start().unwrap(), SearchFile::default());
        let with =
            Checks { models: &models, search: &search, checker: &checker, account: UserId::generate() };
        for name in SAMPLES.iter().map(|sample| sample.name).chain([""]) {
            let app = sample(name, with).await.unwrap();
            assert!(name.is_empty() || app.name == name, "{name}");
        }
        assert!(sample("Nothing", with).await.is_err());
    }
}
