//! The numbers by which a model cites web pages. The calls of a step share them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Web pages of a run that get a number.
const MAX_SOURCES: usize = 2000;

/// One URL has one number in a run, counted from 1.
#[derive(Debug, Default)]
pub struct SourceIds(Mutex<HashMap<String, u32>>);

impl SourceIds {
    /// With the numbers that the log of the run holds.
    pub fn new<'s>(numbered: impl Iterator<Item = (&'s str, u32)>) -> Self {
        Self(Mutex::new(numbered.map(|(url, id)| (url.to_owned(), id)).collect()))
    }

    /// The number of this URL. `None` if the run has too many pages.
    #[must_use]
    pub fn of(&self, url: &str) -> Option<u32> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = ids.get(url) {
            return Some(*id);
        }
        let next = ids.values().max().copied().unwrap_or(0).checked_add(1)?;
        (ids.len() < MAX_SOURCES).then(|| *ids.entry(url.to_owned()).or_insert(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_url_has_one_number() {
        let ids = SourceIds::new([("https://e.org/a", 1), ("https://e.org/b", 4)].into_iter());
        let urls = ["https://e.org/b", "https://e.org/c", "https://e.org/a", "https://e.org/c"];
        assert_eq!(urls.map(|url| ids.of(url)), [Some(4), Some(5), Some(1), Some(5)]);
    }
}
