//! Finds the web pages that a text cites: by number, as `[3]` or `[1, 2]`, or by URL. Pure.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use shared::net::public_url::MAX_URL_BYTES;
use shared::runs::events::FoundSource;

use super::validate::without_fences;

/// URLs of one text that are compared with the pages. Real texts have fewer.
const MAX_URLS: usize = 5000;
/// Ends of one URL that are tried: `(https://e.org/a),` ends before the bracket.
const MAX_ENDS: usize = 16;
/// Bytes of a list of numbers in brackets.
const MAX_LIST_BYTES: usize = 60;
/// Numbers that one range cites, for example `[1-3]`.
const MAX_RANGE: usize = 20;
/// No URL contains these.
const BEYOND: [u8; 9] = *b"<>\"`\\{}|^";
/// A URL may contain these, but a sentence or markup may also put them behind it.
const PERHAPS_BEHIND: [char; 12] = ['.', ',', ';', ':', '!', '?', ')', ']', '\'', '*', '_', '~'];
/// The URL may end before one of these although other characters follow.
const BRACKETS: [char; 5] = [')', ']', '\'', ',', ';'];

/// The pages that the texts of a run can cite.
pub(super) struct Citable<'p> {
    ids: BTreeSet<u32>,
    by_url: HashMap<&'p str, u32>,
}

impl<'p> Citable<'p> {
    pub(super) fn of(pages: &'p [FoundSource]) -> Self {
        Self {
            ids: pages.iter().map(|page| page.id).collect(),
            by_url: pages.iter().map(|page| (key(after_scheme(&page.url)), page.id)).collect(),
        }
    }

    /// Adds the pages that a text for people cites. Numbers in code blocks are no citations.
    pub(super) fn add_cited(&self, text: &str, cited: &mut BTreeSet<u32>) {
        self.add_urls(text, cited);
        let prose = without_fences(text);
        for (at, bracket) in prose.match_indices(['[', '【']) {
            let list = &prose[at + bracket.len()..];
            let list = &list[..list.floor_char_boundary(MAX_LIST_BYTES)];
            let Some((list, _)) = list.split_once([']', '】']) else { continue };
            cited.extend(numbers(list).unwrap_or_default().intersection(&self.ids));
        }
    }

    /// Adds the pages that the texts in JSON cite. Its numbers and lists are data.
    pub(super) fn add_cited_in(&self, data: &Value, cited: &mut BTreeSet<u32>) {
        match data {
            Value::String(text) => self.add_cited(text, cited),
            Value::Array(items) => {
                for item in items {
                    self.add_cited_in(item, cited);
                }
            }
            Value::Object(members) => {
                for member in members.values() {
                    self.add_cited_in(member, cited);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Adds the pages whose URLs a text names.
    pub(super) fn add_urls(&self, text: &str, cited: &mut BTreeSet<u32>) {
        for (at, separator) in text.match_indices("://").take(MAX_URLS) {
            let rest = &text[at + separator.len()..];
            let is_part = |byte: &u8| byte.is_ascii_graphic() && !BEYOND.contains(byte);
            let length = rest.bytes().take(MAX_URL_BYTES).take_while(is_part).count();
            let rest = &rest[..length];
            cited.extend(ends(rest).find_map(|end| self.by_url.get(key(&rest[..end]))));
        }
    }
}

fn after_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

/// What identifies a page. A model often writes https for http, and adds or drops a slash at the end.
fn key(after_scheme: &str) -> &str {
    after_scheme.split('#').next().unwrap_or_default().trim_end_matches('/')
}

/// The ends that a URL may have in the rest of a word, the longest first.
fn ends(rest: &str) -> impl Iterator<Item = usize> {
    let trimmed = rest.trim_end_matches(PERHAPS_BEHIND).len();
    let before = rest.char_indices().rev().filter(move |(at, c)| *at >= trimmed || BRACKETS.contains(c));
    [rest.len()].into_iter().chain(before.map(|(at, _)| at)).take(MAX_ENDS)
}

/// The numbers of a list like `1, 3-5`. `None` if it holds anything else.
fn numbers(list: &str) -> Option<BTreeSet<u32>> {
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| is_plain)
    };
    let mut found = BTreeSet::new();
    for part in list.split([',', ';', ' ', '，', '、']).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once(['-', '–']).unwrap_or((part, part));
        found.extend((number(from)?..=number(to)?).take(MAX_RANGE));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;
    use shared::runs::events::SourceUse;

    use super::*;

    /// For a build without optimisation on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn pages() -> Vec<FoundSource> {
        let urls =
            ["https://e.org/", "https://e.org/a", "http://e.org/b_(c)?q=1&r=2", "https://xn--a.org/d/"];
        let page = |(id, url): (u32, &str)| FoundSource {
            id,
            url: url.to_owned(),
            title: String::new(),
            how: SourceUse::Read,
            snippet: String::new(),
            date: None,
        };
        (1..).zip(urls).map(page).collect()
    }

    fn cited(text: &str) -> Vec<u32> {
        let (pages, mut cited) = (pages(), BTreeSet::new());
        Citable::of(&pages).add_cited(text, &mut cited);
        cited.into_iter().collect()
    }

    #[test]
    fn numbers_in_brackets_are_citations() {
        for (text, expected) in [
            ("It opens at nine [2].", &[2][..]),
            ("At nine[1][3], or ten [2, 4].", &[1, 2, 3, 4]),
            ("Nine [1-3]; 九时【4】。", &[1, 2, 3, 4]),
            ("[1]: the museum", &[1]),
            ("In [2024], [99], [] and [a 1], and [2", &[]),
            ("[+1] [1.0] [-1] [3-1]", &[]),
            ("Nine.\n```python\nrows[1]\n```\nOr ten [2].", &[2]),
        ] {
            assert_eq!(cited(text), expected, "{text}");
        }
    }

    #[test]
    fn urls_are_citations() {
        for (text, expected) in [
            ("See https://e.org/a.", &[2][..]),
            ("[The museum](https://e.org/a), <http://e.org>", &[1, 2]),
            ("(http://e.org/b_(c)?q=1&r=2)", &[3]),
            ("「https://e.org/a#hours」。https://xn--a.org/d", &[2, 4]),
            ("https://e.org/a.html https://e.org/ab https://e.org/a/b ://", &[]),
            ("```\nhttps://e.org/a\n```", &[2]),
        ] {
            assert_eq!(cited(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_of_numbers_in_data_are_no_citations() {
        let (pages, mut cited) = (pages(), BTreeSet::new());
        let data = json!({"hours": [1], "note": "See [3].", "links": [{"url": "https://e.org/a"}], "n": 4});
        Citable::of(&pages).add_cited_in(&data, &mut cited);
        assert_eq!(cited, BTreeSet::from([2, 3]));
    }

    #[test]
    fn a_hostile_text_costs_little() {
        let begun = Instant::now();
        for part in ["[", "[1-4294967295]", "[1,1,1", "://", "://)),,", "https://e.org/a,", "【"] {
            cited(&part.repeat((1 << 20) / part.len()));
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }
}
