//! Checks the rules of `[fetch]`. Pure.

use shared::apps::{FetchRules, FetchUrls};
use shared::net::host_rule::{HostRule, MAX_HOST_RULES};

use super::definition::DefinitionFieldError;
use crate::quoted;

pub(super) fn errors_of_fetch(fetch: &FetchRules) -> Vec<DefinitionFieldError> {
    let at_hosts = |message: String| DefinitionFieldError::at("fetch.hosts", message);
    let mut found = Vec::new();
    if fetch.hosts.len() > MAX_HOST_RULES {
        found.push(at_hosts(format!("at most {MAX_HOST_RULES} hosts are possible")));
    }
    if fetch.hosts.is_empty() && fetch.urls == FetchUrls::Listed {
        found.push(at_hosts("urls = \"listed\" needs at least one host".to_owned()));
    }
    let mut rules = Vec::new();
    for text in fetch.hosts.iter().take(MAX_HOST_RULES) {
        let shown = quoted(text);
        match HostRule::parse(text) {
            Err(error) => found.push(at_hosts(format!("{shown:?} {error}"))),
            Ok(rule) if rules.contains(&rule) => found.push(at_hosts(format!("{shown:?} appears twice"))),
            Ok(rule) => rules.push(rule),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(hosts: &[&str], urls: FetchUrls) -> String {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let errors = errors_of_fetch(&FetchRules { hosts, urls });
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn rules_for_fetches_are_checked() {
        assert_eq!(said(&["*.example.org", "example.org", "[2001:db8::1]"], FetchUrls::Any), "");
        assert_eq!(said(&[], FetchUrls::Known), "");
        assert_eq!(said(&[], FetchUrls::Listed), "fetch.hosts: urls = \"listed\" needs at least one host");
        let said_of = said(&["https://e.org", "A.e.org", "a.e.org."], FetchUrls::Known);
        assert!(
            said_of.contains("fetch.hosts: \"https://e.org\" has a scheme, a port or a path"),
            "{said_of}"
        );
        assert!(said_of.contains("\"a.e.org.\" appears twice"), "{said_of}");
        let many: Vec<_> = (0..101).map(|number| format!("{number}.example")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(said(&many, FetchUrls::Any), "fetch.hosts: at most 100 hosts are possible");
    }
}
