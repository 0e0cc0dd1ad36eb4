//! What contradicts itself, or cannot be used, in the file of CAPI_SEARCH. Pure.

use url::Url;

use super::{SearchEntry, SearchFile, SearchKind};
use crate::net::ip_policy::IpPolicy;
use crate::net::public_url::PublicUrl;

/// Characters of a name. It is a label of metrics.
const MAX_NAME_CHARS: usize = 40;

impl SearchFile {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.providers.is_empty() {
            return Err("must list at least one [[providers]]".to_owned());
        }
        if self.providers.iter().filter(|entry| entry.default).count() > 1 {
            return Err("only one provider may say default = true".to_owned());
        }
        for (index, entry) in self.providers.iter().enumerate() {
            let name = entry.name();
            if self.providers[..index].iter().any(|other| other.name() == name) {
                return Err(format!("the provider {name:?} appears twice; give one of them another name"));
            }
            if let Some(what) = entry.contradiction() {
                return Err(format!("{name}: {what}"));
            }
        }
        Ok(())
    }
}

impl SearchEntry {
    fn contradiction(&self) -> Option<String> {
        let name = self.name();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(is_plain) {
            return Some(format!("name must be 1 to {MAX_NAME_CHARS} lower-case letters, digits, - and _"));
        }
        if [self.quota.day, self.quota.month].contains(&Some(0)) {
            return Some("quota must be at least 1; leave it out for no quota".to_owned());
        }
        self.wrong_key().or_else(|| self.wrong_path()).or_else(|| match self.base_url() {
            Some(url) => wrong_url(&url),
            None => Some(format!("base_url is missing; {}", self.provider.about_base_url())),
        })
    }

    fn wrong_key(&self) -> Option<String> {
        match (&self.key_env, &self.key_file) {
            (Some(_), Some(_)) => Some("give key_env or key_file, not both".to_owned()),
            (None, None) if self.provider.takes_key() => {
                Some("give its key with key_env or key_file".to_owned())
            }
            (Some(_), None) | (None, Some(_)) if !self.provider.takes_key() => {
                Some("this provider takes no key; leave key_env and key_file out".to_owned())
            }
            (Some(name), None) if name.trim().is_empty() => Some("key_env is empty".to_owned()),
            _ => None,
        }
    }

    fn wrong_path(&self) -> Option<String> {
        match (&self.path, self.provider) {
            (None, SearchKind::Local) => {
                Some("path is missing; give the directory of .md, .html and .txt files".to_owned())
            }
            (Some(_), kind) if kind != SearchKind::Local => {
                Some("only the provider local has a path; leave it out".to_owned())
            }
            _ => None,
        }
    }
}

impl SearchKind {
    const fn about_base_url(self) -> &'static str {
        match self {
            Self::Local => "give the address under which the files of path are served",
            _ => "give the address of the server",
        }
    }
}

/// The operator's address may be private.
fn wrong_url(url: &Url) -> Option<String> {
    if url.query().is_some() || url.fragment().is_some() {
        return Some("base_url must have no query and no fragment".to_owned());
    }
    PublicUrl::parse(url.as_str(), &IpPolicy::any()).err().map(|refusal| format!("base_url {refusal}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SearchFile, String> {
        let file: SearchFile = toml::from_str(text).map_err(|error| error.to_string())?;
        file.check().map(|()| file)
    }

    fn entry(more: &str) -> String {
        format!("[[providers]]\n{more}\n")
    }

    #[test]
    fn a_name_a_default_and_an_address_are_filled_in() {
        let brave = entry("provider='brave'\nkey_env='K'\nquota={month=2000}");
        let own = entry(
            "name='docs'\nprovider='local'\npath='/srv/docs'\nbase_url='http://10.0.0.1:8000/d'\ndefault=true",
        );
        let file = parse(&(brave.clone() + &own)).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["brave", "docs"]);
        assert_eq!(file.chosen(None).map(SearchEntry::name), Some("docs"));
        assert_eq!(file.chosen(Some("brave")).unwrap().quota.month, Some(2000));
        assert!(file.chosen(Some("tavily")).is_none());
        let file = parse(&brave).unwrap();
        assert_eq!(file.chosen(None).unwrap().base_url().unwrap().host_str(), Some("api.search.brave.com"));
        assert!(SearchFile::default().chosen(None).is_none());
    }

    #[test]
    fn contradictions_are_named() {
        let searxng = "provider='searxng'\nbase_url='http://127.0.0.1:8888'";
        assert!(parse(&entry(searxng)).is_ok(), "the operator may name a private address");
        assert!(parse("providers = []").unwrap_err().contains("at least one"));
        assert!(parse(&entry(searxng).repeat(2)).unwrap_err().contains("twice"));
        let both = entry(&format!("{searxng}\ndefault=true"))
            + &entry("provider='serper'\nkey_env='K'\ndefault=true");
        assert!(parse(&both).unwrap_err().contains("default"));
        for (settings, named) in [
            ("provider='altavista'".to_owned(), "altavista"),
            ("provider='searxng'".to_owned(), "base_url is missing; give the address of the server"),
            (format!("{searxng}\nkey_env='K'"), "takes no key"),
            (format!("{searxng}\npath='/x'"), "only the provider local"),
            (format!("{searxng}\nquota={{day=0}}"), "at least 1"),
            (format!("{searxng}\nquota={{week=3}}"), "week"),
            (format!("{searxng}\nname='My Search'"), "lower-case"),
            (format!("{searxng}\ncolour='red'"), "colour"),
            ("provider='searxng'\nbase_url='ftp://h/'".to_owned(), "base_url must begin with https://"),
            ("provider='searxng'\nbase_url='http://a:b@h/'".to_owned(), "user name"),
            ("provider='searxng'\nbase_url='http://h/?q=1'".to_owned(), "no query"),
            ("provider='brave'".to_owned(), "key_env or key_file"),
            ("provider='brave'\nkey_env='K'\nkey_file='/x'".to_owned(), "not both"),
            ("provider='local'\nbase_url='http://h/'".to_owned(), "path is missing"),
            ("provider='local'\npath='/x'".to_owned(), "under which the files"),
        ] {
            let why = parse(&entry(&settings)).unwrap_err();
            assert!(why.contains(named), "{settings}: {why}");
        }
    }
}
