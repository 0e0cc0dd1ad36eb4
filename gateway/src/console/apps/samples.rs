//! What a new app begins with: one of the samples of deploy/apps, or next to nothing.

use gateway_domain::apps::parse_definition;
use shared::apps::AppDefinition;
use shared::config::ModelsFile;

use crate::http::ApiError;

/// A sample to choose.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    file: &'static str,
}

macro_rules! samples {
    ($($name:literal, $file:literal, $about:literal;)*) => {
        &[$(Sample { name: $name, about: $about, file: include_str!(concat!("../../../../deploy/apps/", $file)) },)*]
    };
}

pub(super) const SAMPLES: &[Sample] = samples! {
    "Summarise", "summarise.toml", "A text in, a sentence or two out. Works with every model.";
    "Extract", "extract.toml", "Facts out of a text, as JSON of a guaranteed shape.";
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

/// The sample of this name; the blank one where there is no name.
pub(super) fn sample(name: &str, models: &ModelsFile) -> Result<AppDefinition, ApiError> {
    let file = match name {
        "" => BLANK,
        name => SAMPLES.iter().find(|sample| sample.name == name).ok_or(ApiError::not_found("sample"))?.file,
    };
    parse_definition(file, models).map_err(|error| ApiError::fault(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_an_app() {
        let models = "[[models]]\nid='m'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\nmodel='m'\n";
        let models: ModelsFile = toml::from_str(models).unwrap();
        for name in SAMPLES.iter().map(|sample| sample.name).chain([""]) {
            let app = sample(name, &models).unwrap();
            assert!(name.is_empty() || app.name == name, "{name}");
        }
        assert!(sample("Nothing", &models).is_err());
    }
}
