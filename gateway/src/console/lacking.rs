//! What an app needs and the installation does not have, in sentences.

use shared::config::SearchMissing;

pub(super) fn search_missing(missing: &SearchMissing) -> String {
    match missing {
        SearchMissing::NoProvider => {
            "The app searches the web, and this installation has no search provider. Remove web_search from \
             the app, or ask the operator to set CAPI_SEARCH."
                .to_owned()
        }
        SearchMissing::UnknownProvider { asked, .. } => format!(
            "The app searches the web with {asked}, which is no search provider here. Choose another \
             provider, or ask the operator to add it to the file of CAPI_SEARCH."
        ),
    }
}

pub(super) fn lacks_tools(model: &str, all: bool) -> String {
    if all {
        format!("The app uses tools. The model {model} cannot call tools, and no other model here can.")
    } else {
        format!("The app uses tools, and the model {model} cannot call tools. Choose another model.")
    }
}

pub(super) fn lacks_vision(model: &str, able: &[String]) -> String {
    if able.is_empty() {
        format!("The model {model} does not see pictures, and no other model here does. Choose no picture.")
    } else {
        let able = able.join(", ");
        format!("The model {model} does not see pictures. Choose one that does ({able}), or no picture.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_installation_without_providers_needs_the_setting() {
        let none = search_missing(&SearchMissing::NoProvider);
        assert!(none.ends_with("ask the operator to set CAPI_SEARCH."), "{none}");
        let unknown = SearchMissing::UnknownProvider { asked: "brave".to_owned(), known: vec![] };
        let unknown = search_missing(&unknown);
        assert!(unknown.contains("brave") && unknown.contains("Choose another provider"), "{unknown}");
        assert!(!unknown.contains("set CAPI_SEARCH"), "{unknown}");
    }
}
