//! Which results the model is shown. Pure.

use std::collections::HashSet;

use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::PublicUrl;

use super::Hit;
use super::clean::clean;

/// Results that are looked at. No provider gives as many.
const MAX_LOOKED_AT: usize = 200;

/// The results of a search, cleaned, and what was left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selected {
    pub hits: Vec<Hit>,
    /// Results whose address is not public, so that `fetch_url` may not read them.
    pub private: usize,
    /// Results without an http or https URL that can be used.
    pub unusable: usize,
    /// The arguments that the provider did not apply.
    pub ignored: Vec<&'static str>,
}

pub(super) fn select(hits: &[Hit], policy: &IpPolicy, count: usize) -> Selected {
    let (mut selected, mut seen) = (Selected::default(), HashSet::new());
    for hit in hits.iter().take(MAX_LOOKED_AT) {
        match PublicUrl::parse(hit.url.trim(), policy) {
            Err(refusal) if refusal.is_about_the_address() => selected.private += 1,
            Err(_) => selected.unusable += 1,
            Ok(url) => {
                let url = url.url().to_string();
                if selected.hits.len() < count && seen.insert(url.clone()) {
                    selected.hits.push(Hit { url, ..clean(hit) });
                }
            }
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_left_out_and_counted() {
        let hit = |url: &str| Hit { url: url.to_owned(), ..Hit::default() };
        let urls = [
            "https://e.org/a",
            "http://169.254.169.254/latest",
            "http://localhost/",
            "http://0x7f.1/",
            "http://[::ffff:10.0.0.1]/",
            "javascript:alert(1)",
            "/relative",
            "https://u:p@e.org/",
            "https://E.org/a",
            "https://e.org/b c",
            "https://e.org/d",
        ];
        let hits = urls.map(hit);
        let selected = select(&hits, &IpPolicy::only_public(), 2);
        let shown: Vec<_> = selected.hits.iter().map(|hit| hit.url.as_str()).collect();
        assert_eq!(shown, ["https://e.org/a", "https://e.org/b%20c"]);
        assert_eq!((selected.private, selected.unusable), (4, 3));
        let opened = IpPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(select(&hits, &opened, 10).private, 2, "the operator allows the loopback");
    }
}
