//! Whether the installation can search for an app. Pure. The gateway checks this when an app is saved and
//! when a run is created, and the worker before it begins a run: the file may have changed meanwhile.

use super::SearchFile;
use crate::apps::AppDefinition;

/// Characters of an unknown name in the message. No provider has a longer name.
const MAX_ASKED_CHARS: usize = 40;

/// Why the runs of an app cannot search.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchMissing {
    #[error(
        "the app has the tool web_search, and this installation has no search provider; ask its operator to \
         set CAPI_SEARCH, or remove the tool from the app"
    )]
    NoProvider,
    #[error("the search provider {asked:?} is not in CAPI_SEARCH; known are: {}", .known.join(", "))]
    UnknownProvider { asked: String, known: Vec<String> },
}

impl SearchFile {
    /// `None` if the app does not search, or its provider is there.
    #[must_use]
    pub fn missing_for(&self, app: &AppDefinition) -> Option<SearchMissing> {
        let asked = app.web_search.provider.as_deref();
        if !app.searches() || self.chosen(asked).is_some() {
            return None;
        }
        Some(match asked.filter(|_| !self.all().is_empty()) {
            None => SearchMissing::NoProvider,
            Some(asked) => SearchMissing::UnknownProvider {
                asked: asked.chars().take(MAX_ASKED_CHARS).collect(),
                known: self.names().map(str::to_owned).collect(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_that_searches_needs_its_provider() {
        let app = |tools: &[&str], provider: Option<&str>| -> AppDefinition {
            let settings = serde_json::json!({"name": "a", "prompt": "p", "tools": tools,
                "web_search": {"provider": provider}});
            serde_json::from_value(settings).unwrap()
        };
        let none = SearchFile::default();
        let serper: SearchFile = toml::from_str("[[providers]]\nprovider='serper'\nkey_env='K'\n").unwrap();
        let search = &["web_search"][..];
        for (file, app, expected) in [
            (&none, app(&["fetch_url"], None), None),
            (&none, app(search, None), Some("no search provider; ask its operator to set CAPI_SEARCH")),
            (&none, app(search, Some("brave")), Some("no search provider")),
            (&serper, app(search, None), None),
            (&serper, app(search, Some("serper")), None),
            (&serper, app(search, Some("brave")), Some("\"brave\" is not in CAPI_SEARCH; known are: serper")),
        ] {
            let why = file.missing_for(&app).map(|missing| missing.to_string());
            assert_eq!(why.is_some(), expected.is_some(), "{app:?}");
            assert!(why.unwrap_or_default().contains(expected.unwrap_or_default()), "{app:?}");
        }
    }
}
