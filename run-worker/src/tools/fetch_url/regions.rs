//! Finds the part of a page that people read: the article, without menus, headers and footers. The text is
//! written three times, and the smallest one that is not too small is taken. So a page that uses the elements
//! in another way loses nothing.

use url::Url;

use super::text::{Gap, Text};

/// Bytes of a text that may be an article.
const ENOUGH: usize = 400;
/// An article has at least this share of a page. A smaller one may be one of many pieces of text.
const SHARE_OF_ARTICLE: usize = 5;

#[derive(Default)]
pub(super) struct Regions {
    all: Text,
    /// Outside of menus and the like.
    body: Text,
    /// The same, and inside of `main` or `article`.
    main: Text,
    /// How many of these elements are open.
    mains: usize,
    around: usize,
}

impl Regions {
    /// Links are relative to `base`.
    pub(super) fn new(base: &Url) -> Self {
        let [all, body, main] = [(); 3].map(|()| Text::new(base));
        Self { all, body, main, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// A tag of this name begins or ends an element. Pages leave out end tags, so the beginning of the
    /// article ends everything that is around it.
    pub(super) fn tag(&mut self, name: &str, begins: bool) {
        let step = |count: usize| if begins { count + 1 } else { count.saturating_sub(1) };
        match name {
            "main" | "article" => {
                self.mains = step(self.mains);
                self.around = 0;
                self.main.gap(Gap::Paragraph);
            }
            // The header of an article holds its title.
            "header" if self.mains > 0 => {}
            "nav" | "aside" | "footer" | "header" => self.around = step(self.around),
            _ => {}
        }
    }

    /// Writes to the texts that the reader is in.
    pub(super) fn write(&mut self, write: impl Fn(&mut Text)) {
        write(&mut self.all);
        if self.around == 0 {
            write(&mut self.body);
            if self.mains > 0 {
                write(&mut self.main);
            }
        }
    }

    /// The readable part, and whether something is left out. Or the whole page.
    pub(super) fn finish(self, whole: bool) -> (String, bool) {
        let [all, body, main] = [self.all, self.body, self.main].map(Text::finish);
        let is_body = body.len() >= ENOUGH || body.len() * 2 >= all.len();
        let is_main = (main.len() >= ENOUGH && main.len() * SHARE_OF_ARTICLE >= body.len())
            || main.len() * 2 >= body.len();
        let part = match (whole, is_main && !main.is_empty(), is_body) {
            (true, ..) | (false, false, false) => return (all, false),
            (false, true, _) => main,
            (false, false, true) => body,
        };
        let is_less = part.len() < all.len();
        (part, is_less)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tags: &[(&str, usize)]) -> (usize, bool) {
        let mut regions = Regions::new(&Url::parse("https://e.org/").unwrap());
        for (name, length) in tags {
            match name.strip_prefix('/') {
                Some(name) => regions.tag(name, false),
                None => regions.tag(name, true),
            }
            regions.write(|text| text.word(&"x".repeat(*length)));
        }
        let (text, is_part) = regions.finish(false);
        (text.len(), is_part)
    }

    #[test]
    fn the_article_is_found_and_nothing_is_lost_without_one() {
        for (tags, expected) in [
            (&[("nav", 900), ("/nav", 0), ("main", 1000), ("aside", 90), ("/aside", 0)][..], (1000, true)),
            (&[("header", 900), ("article", 700), ("header", 30), ("/header", 5)], (735, true)),
            (&[("nav", 900), ("/nav", 500)], (500, true)),
            (&[("nav", 900), ("/nav", 100)], (1000, false)),
            (&[("article", 100), ("/article", 5000)], (5100, false)),
            // With the gap between them.
            (&[("article", 800), ("/article", 800), ("article", 900), ("/article", 0)], (1702, true)),
            (&[("p", 10)], (10, false)),
            (&[("main", 0), ("/main", 10)], (10, false)),
        ] {
            assert_eq!(read(tags), expected, "{tags:?}");
        }
    }
}
