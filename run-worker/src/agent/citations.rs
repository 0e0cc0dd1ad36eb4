//! Finds the web pages that a text cites: by number, as `[3]` or `[1, 2]`, or by URL. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

use serde_json::Value;
use shared::net::public_url::MAX_URL_BYTES;
use shared::runs::events::FoundSource;

use super::validate::without_fences;
use crate::url_ends::{ends, is_beyond};

/// URLs of one text that are compared with the pages. Real texts have fewer.
const MAX_URLS: usize = 2000;
/// Characters of a list of numbers in brackets.
const MAX_LIST: usize = 60;
/// Numbers that one range cites, for example `[1-3]`.
const MAX_RANGE: u32 = 20;
/// What a list may hold between its parts, and a range between its ends.
const BETWEEN: [char; 5] = [',', ';', ' ', '，', '、'];
const TO: [char; 2] = ['-', '–'];

/// The pages that the texts of a run can cite.
pub(super) struct Citable<'p> {
    ids: BTreeSet<u32>,
    by_url: HashMap<&'p str, u32>,
    /// The lengths of the keys of `by_url`. Only a text of such a length is worth a look-up.
    lengths: HashSet<usize>,
}

impl<'p> Citable<'p> {
    pub(super) fn of(pages: &'p [FoundSource]) -> Self {
        let by_url: HashMap<_, _> =
            pages.iter().map(|page| (key(after_scheme(&page.url)), page.id)).collect();
        Self {
            ids: pages.iter().map(|page| page.id).collect(),
            lengths: by_url.keys().map(|key| key.len()).collect(),
            by_url,
        }
    }

    /// Adds the pages that a text for people cites. Numbers in code blocks are no citations.
    pub(super) fn add_cited(&self, text: &str, cited: &mut BTreeSet<u32>) {
        self.add_urls(text, cited);
        let prose = without_fences(text);
        for (at, bracket) in prose.match_indices(['[', '【']) {
            let Some(list) = list_in(&prose[at + bracket.len()..]) else { continue };
            for range in ranges(list).unwrap_or_default() {
                cited.extend(self.ids.range(range));
            }
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
        // One word may hold many URLs. Its end is looked for once.
        let mut word_end = 0;
        for (at, separator) in text.match_indices("://").take(MAX_URLS) {
            let begin = at + separator.len();
            if begin >= word_end {
                word_end = begin + text[begin..].bytes().take_while(|byte| is_part(*byte)).count();
            }
            let end = word_end.min(begin + MAX_URL_BYTES);
            cited.extend(self.page_at(&text[begin..end]));
        }
    }

    /// The page whose URL begins here. If there are several, the one with the longest URL.
    fn page_at(&self, rest: &str) -> Option<u32> {
        let address = without_fragment(rest);
        let known = |end: usize| {
            let key = without_slashes(&address[..end.min(address.len())]);
            let id = self.lengths.contains(&key.len()).then(|| self.by_url.get(key))??;
            Some((key.len(), *id))
        };
        ends(rest).filter_map(known).max().map(|(_, id)| id)
    }
}

/// Whether an ASCII character may be part of a URL.
fn is_part(byte: u8) -> bool {
    byte.is_ascii_graphic() && !is_beyond(char::from(byte))
}

fn after_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

/// What identifies a page. A model often writes https for http, and adds or drops a slash at the end.
fn key(after_scheme: &str) -> &str {
    without_slashes(without_fragment(after_scheme))
}

fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(address, _)| address)
}

fn without_slashes(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// The list of numbers whose bracket opened before this text. It is read up to the first character that no
/// such list has: a text of many brackets is not read many times.
fn list_in(text: &str) -> Option<&str> {
    let is_in_list = |c: char| c.is_ascii_digit() || BETWEEN.contains(&c) || TO.contains(&c);
    let (end, closing) = text.char_indices().take(MAX_LIST).find(|(_, c)| !is_in_list(*c))?;
    matches!(closing, ']' | '】').then(|| &text[..end])
}

/// The ranges of a list like `1, 3-5`. `None` if it holds anything else.
fn ranges(list: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| is_plain)
    };
    let mut found = Vec::new();
    for part in list.split(BETWEEN).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once(TO).unwrap_or((part, part));
        let (from, to) = (number(from)?, number(to)?);
        if from <= to {
            found.push(from..=to.min(from.saturating_add(MAX_RANGE - 1)));
        }
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
            ("[2-4294967295] and [[1]]", &[1, 2, 3, 4]),
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
            ("[a](https://e.org/a),[b](http://e.org/b_(c)?q=1&r=2)", &[2, 3]),
            ("https://p.org/?to=https://e.org/a", &[2]),
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
