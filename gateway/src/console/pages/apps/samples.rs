//! The definitions that a new app can start from: the samples of deploy/apps, and a blank app. Some samples
//! need what not every installation has.

use gateway_domain::apps::{Checks, parse_definition};
use shared::apps::AppDefinition;
use shared::config::{Model, ModelsFile};

use crate::http::ApiError;

pub(crate) struct Sample {
    pub(crate) name: &'static str,
    about: &'static str,
    needs: &'static [Need],
    file: &'static str,
}

/// What a sample needs of the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A model that can call tools.
    Tools,
    Search,
    /// Only run-workers know whether they have it.
    Sandbox,
}

/// What the gateway knows of the installation.
#[derive(Clone, Copy)]
pub(crate) struct Installation<'i> {
    pub(crate) models: &'i ModelsFile,
    /// Whether it has a search provider.
    pub(crate) search: bool,
}

/// What the installation lacks for a sample, and what an operator does about it, in sentences.
pub(crate) struct Lacking {
    pub(crate) what: String,
    pub(crate) advice: String,
}

/// A sample on the page.
pub(crate) struct Card {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) needs: String,
    /// Set if the installation lacks something. The sample is not offered then.
    pub(crate) lacks: Option<Lacking>,
    /// Whether its runs use the demo model unless the user chooses another one.
    pub(crate) demo: bool,
}

macro_rules! samples {
    ($($name:literal, $file:literal, [$($need:ident),*], $about:literal;)*) => {
        &[$(Sample {
            name: $name,
            about: $about,
            needs: &[$(Need::$need),*],
            file: include_str!(concat!("../../../../../deploy/apps/", $file)),
        },)*]
    };
}

const SAMPLES: &[Sample] = samples! {
    "Summarise", "summarise.toml", [], "Summarises a text in one or two sentences.";
    "Extract", "extract.toml", [], "Extracts facts from a text as JSON that follows a schema.";
    "Chart", "chart.toml", [Tools, Sandbox], "Answers a question about a table and draws a chart.";
    "Report", "report.toml", [Tools, Search, Sandbox],
        "Searches the web, reads three pages and writes a PDF with its sources.";
    "Fix", "fix.toml", [Tools, Sandbox], "Changes a small program until its tests pass.";
    "Invoice", "invoice.toml", [Tools, Sandbox], "Reads an invoice (PDF) into JSON and checks its sums.";
    "Slides", "slides.toml", [Tools, Sandbox], "Makes a presentation (PPTX) from a text.";
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

impl Need {
    const fn words(self) -> &'static str {
        match self {
            Self::Tools => "a model that can call tools",
            Self::Search => "a search provider",
            Self::Sandbox => "the sandbox of a run-worker",
        }
    }

    /// What an operator does if the installation lacks it.
    fn advice(self, installation: Installation<'_>) -> Option<&'static str> {
        match self {
            Self::Tools if !installation.models.all().iter().any(|model| model.tools) => Some(
                "An operator adds a model with tools, such as the demo model, to the file of CAPI_MODELS.",
            ),
            Self::Search if !installation.search => {
                Some("An operator names a file of search providers in CAPI_SEARCH.")
            }
            // /readyz of a run-worker tells whether its sandbox works.
            Self::Tools | Self::Search | Self::Sandbox => None,
        }
    }
}

impl Sample {
    fn card(&self, installation: Installation<'_>) -> Card {
        let needs: Vec<_> = self.needs.iter().map(|need| need.words()).collect();
        Card {
            name: self.name,
            about: self.about,
            needs: if needs.is_empty() { "a model; any will do".to_owned() } else { needs.join(", ") },
            lacks: self.lacking(installation),
            demo: self.model(installation.models).is_some_and(Model::is_demo),
        }
    }

    fn lacking(&self, installation: Installation<'_>) -> Option<Lacking> {
        let missing = self.needs.iter().filter_map(|need| Some((need.words(), need.advice(installation)?)));
        let (what, advice): (Vec<_>, Vec<_>) = missing.unzip();
        (!what.is_empty()).then(|| Lacking { what: what.join(" and "), advice: advice.join(" ") })
    }

    /// The model of its runs, if one fits: the default, or else the first that can call tools.
    fn model<'m>(&self, models: &'m ModelsFile) -> Option<&'m Model> {
        let fits = |model: &&Model| model.tools || !self.needs.contains(&Need::Tools);
        let default = Some(models.default_model()).filter(fits);
        default.or_else(|| models.all().iter().find(fits))
    }
}

impl Installation<'_> {
    pub(crate) fn cards(self) -> Vec<Card> {
        SAMPLES.iter().map(|sample| sample.card(self)).collect()
    }

    /// Whether an app can be made of this sample. The blank app has no name.
    pub(crate) fn offers(self, name: &str) -> bool {
        let sample = SAMPLES.iter().find(|sample| sample.name == name);
        sample.is_none_or(|sample| sample.card(self).lacks.is_none())
    }
}

/// The sample of this name. An empty name gives the blank app. The app names a model only if the default does
/// not fit.
pub(crate) async fn sample(name: &str, with: Checks<'_>) -> Result<AppDefinition, ApiError> {
    let sample = SAMPLES.iter().find(|sample| sample.name == name);
    let file = match sample {
        Some(sample) => sample.file,
        None if name.is_empty() => BLANK,
        None => return Err(ApiError::not_found("sample")),
    };
    let mut definition = parse_definition(file, with).await.map_err(|error| ApiError::fault(&error))?;
    let model = sample.and_then(|sample| sample.model(with.models));
    definition.model =
        model.filter(|model| model.id != with.models.default_model().id).map(|model| model.id.clone());
    Ok(definition)
}

#[cfg(test)]
mod tests {
    use shared::config::{ModelsFile, SearchFile};
    use shared::definition_checker::DefinitionChecker;
    use shared::ids::UserId;

    use super::*;

    fn models(more: &str) -> ModelsFile {
        let first = "[[models]]\nid='m'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\nmodel='m'\n";
        toml::from_str(&format!("{first}{more}")).unwrap()
    }

    fn search() -> SearchFile {
        toml::from_str("[[providers]]\nprovider='searxng'\nbase_url='http://h'\n").unwrap()
    }

    const NO_TOOLS: &str = "tools=false\n";
    const AND_DEMO: &str = "tools=false\n[[models]]\nid='demo'\nname='Demo'\nprovider='demo'\n";

    #[tokio::test]
    async fn every_sample_is_a_valid_app_and_says_what_it_needs() {
        let models = models("");
        let checker = DefinitionChecker::start().unwrap();
        let search = search();
        let with =
            Checks { models: &models, search: &search, checker: &checker, account: UserId::generate() };
        for known in SAMPLES {
            let app = sample(known.name, with).await.unwrap();
            assert_eq!((app.name.as_str(), &app.model), (known.name, &None));
            let lists = |tools: &[&str]| app.tools.iter().any(|tool| tools.contains(&tool.as_str()));
            for (need, expected) in [
                (Need::Tools, !app.tools.is_empty()),
                (Need::Search, lists(&["web_search"])),
                (Need::Sandbox, lists(&["python", "shell"])),
            ] {
                assert_eq!(known.needs.contains(&need), expected, "{}: {need:?}", known.name);
            }
        }
        assert_eq!(sample("", with).await.unwrap().name, "Untitled app");
        assert!(sample("Nothing", with).await.is_err());
    }

    #[test]
    fn what_an_installation_lacks_is_named() {
        let lacks = |more: &str, search, name: &str| {
            let models = models(more);
            let installation = Installation { models: &models, search };
            let card = installation.cards().into_iter().find(|card| card.name == name).unwrap();
            assert_eq!(card.lacks.is_none(), installation.offers(name));
            card.lacks.map_or_else(String::new, |lacks| format!("{}. {}", lacks.what, lacks.advice))
        };
        assert_eq!(lacks("", true, "Report"), "");
        assert_eq!(lacks(NO_TOOLS, false, "Extract"), "");
        let no_search = "An operator names a file of search providers in CAPI_SEARCH.";
        assert_eq!(lacks("", false, "Report"), format!("a search provider. {no_search}"));
        let both = format!(
            "a model that can call tools and a search provider. An operator adds a model with tools, such as \
             the demo model, to the file of CAPI_MODELS. {no_search}"
        );
        assert_eq!(lacks(NO_TOOLS, false, "Report"), both);
        assert_eq!(lacks(AND_DEMO, false, "Chart"), "");
    }

    #[tokio::test]
    async fn a_sample_names_the_demo_model_only_where_the_default_cannot_call_tools() {
        let checker = DefinitionChecker::start().unwrap();
        let models = models(AND_DEMO);
        let search = search();
        let with =
            Checks { models: &models, search: &search, checker: &checker, account: UserId::generate() };
        assert_eq!(sample("Chart", with).await.unwrap().model.as_deref(), Some("demo"));
        assert_eq!(sample("Extract", with).await.unwrap().model, None);
        let cards = Installation { models: &models, search: true }.cards();
        let demo: Vec<_> = cards.iter().filter(|card| card.demo).map(|card| card.name).collect();
        assert_eq!(demo, ["Chart", "Report", "Fix", "Invoice", "Slides"]);
    }
}
