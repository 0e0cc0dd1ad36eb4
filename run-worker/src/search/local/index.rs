//! The index of the local search, in memory. Pages with more words of the query, and with rarer ones, come
//! first. A query has no syntax: signs between its words count as spaces.

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    Field, IndexRecordOption, STORED, Schema, TantivyDocument, TextFieldIndexing, TextOptions, Value,
};
use tantivy::snippet::SnippetGenerator;
use tantivy::tokenizer::TokenStream as _;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Term};

use super::files::LocalPage;
use super::words::{WORDS, analyzer};

/// The least that tantivy takes.
const WRITER_BYTES: usize = 15_000_000;
/// Words of a query that count.
const MAX_WORDS: usize = 32;
/// A word in the title says more than one in the text.
const TITLE_BOOST: f32 = 3.0;
/// Pages that are looked at, from the best on, until enough are wanted.
const LOOKED_AT: usize = 200;
/// Bytes of a snippet.
const SNIPPET: usize = 300;

pub(super) struct LocalIndex {
    reader: IndexReader,
    fields: Fields,
    pages: Vec<LocalPage>,
}

struct Fields {
    title: Field,
    text: Field,
    /// The position in `pages`.
    number: Field,
}

impl LocalIndex {
    pub(super) fn build(pages: Vec<LocalPage>) -> tantivy::Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default().set_tokenizer(WORDS);
        let words = TextOptions::default()
            .set_indexing_options(indexing.set_index_option(IndexRecordOption::WithFreqs));
        let fields = Fields {
            title: schema.add_text_field("title", words.clone()),
            text: schema.add_text_field("text", words),
            number: schema.add_u64_field("number", STORED),
        };
        let index = Index::create_in_ram(schema.build());
        index.tokenizers().register(WORDS, analyzer());
        let mut writer: IndexWriter = index.writer_with_num_threads(1, WRITER_BYTES)?;
        for (number, page) in (0..).zip(&pages) {
            let mut document = TantivyDocument::default();
            document.add_text(fields.title, &page.title);
            document.add_text(fields.text, &page.text);
            document.add_u64(fields.number, number);
            writer.add_document(document)?;
        }
        writer.commit()?;
        writer.wait_merging_threads()?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { reader, fields, pages })
    }

    /// The best pages with a passage of each: at most `count` of those that are wanted.
    pub(super) fn search(
        &self,
        text: &str,
        count: usize,
        is_wanted: impl Fn(&LocalPage) -> bool,
    ) -> tantivy::Result<Vec<(&LocalPage, String)>> {
        let Fields { title, text: body, number } = self.fields;
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for word in words_of(text) {
            let term =
                |field| TermQuery::new(Term::from_field_text(field, &word), IndexRecordOption::WithFreqs);
            clauses.push((Occur::Should, Box::new(term(body))));
            let in_title = BoostQuery::new(Box::new(term(title)), TITLE_BOOST);
            clauses.push((Occur::Should, Box::new(in_title)));
        }
        if clauses.is_empty() {
            return Ok(Vec::new());
        }
        let query = BooleanQuery::new(clauses);
        let searcher = self.reader.searcher();
        let best = searcher.search(&query, &TopDocs::with_limit(LOOKED_AT).order_by_score())?;
        let mut passages = SnippetGenerator::create(&searcher, &query, body)?;
        passages.set_max_num_chars(SNIPPET);
        let mut found = Vec::new();
        for (_, address) in best {
            if found.len() >= count {
                break;
            }
            let document: TantivyDocument = searcher.doc(address)?;
            let at = document.get_first(number).and_then(|value| value.as_u64());
            let page = at.and_then(|at| self.pages.get(usize::try_from(at).ok()?));
            // A passage takes time: the whole text is split into words for it.
            if let Some(page) = page.filter(|page| is_wanted(page)) {
                let passage = passages.snippet(&page.text).fragment().to_owned();
                let begun = &page.text[..page.text.floor_char_boundary(SNIPPET)];
                found.push((page, if passage.is_empty() { begun.to_owned() } else { passage }));
            }
        }
        Ok(found)
    }
}

/// The different words of a query.
fn words_of(text: &str) -> Vec<String> {
    let (mut analyzer, mut words) = (analyzer(), Vec::new());
    analyzer.token_stream(text).process(&mut |token| {
        if words.len() < MAX_WORDS && !words.contains(&token.text) {
            words.push(token.text.clone());
        }
    });
    words
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use url::Url;

    use super::*;

    fn index(pages: &[(&str, &str)]) -> LocalIndex {
        let page = |(at, (title, text)): (usize, &(&str, &str))| LocalPage {
            url: Url::parse(&format!("http://h/{at}")).unwrap(),
            title: (*title).to_owned(),
            text: (*text).to_owned(),
            changed_at: Utc::now(),
        };
        LocalIndex::build(pages.iter().enumerate().map(page).collect()).unwrap()
    }

    #[test]
    fn the_best_page_comes_first_with_a_passage() {
        let filler = "Nothing of interest. ".repeat(50);
        let long = format!("{filler} Batteries store the power of the sun. {filler}");
        let index =
            index(&[("Wind", "power of the wind"), ("Energy", &long), ("Solar power", "東京の太陽光")]);
        let found = |text: &str| {
            let found = index.search(text, 10, |_| true).unwrap();
            found.into_iter().map(|(page, passage)| (page.title.clone(), passage)).collect::<Vec<_>>()
        };
        let titles = |text: &str| found(text).into_iter().map(|(title, _)| title).collect::<Vec<_>>();
        assert_eq!(titles("solar power")[0], "Solar power");
        let batteries = found("(BATTERIES)");
        assert_eq!(batteries[0].0, "Energy");
        assert!(batteries[0].1.contains("Batteries store the power of the sun"), "{batteries:?}");
        assert!(batteries[0].1.len() <= SNIPPET, "{batteries:?}");
        assert_eq!(titles("太陽"), ["Solar power"]);
        for text in ["", "!?", "title:(\"", "nowhere"] {
            assert!(titles(text).is_empty(), "{text}");
        }
        assert_eq!(index.search("power", 1, |_| true).unwrap().len(), 1);
        let others = index.search("power", 1, |page| page.title != "Solar power").unwrap();
        assert_eq!(others.len(), 1, "pages that are not wanted do not count");
        assert_ne!(others[0].0.title, "Solar power");
    }

    #[test]
    fn an_empty_index_has_no_pages() {
        assert!(index(&[]).search("a", 5, |_| true).unwrap().is_empty());
    }
}
