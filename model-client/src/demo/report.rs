//! The sample Report: searches, reads three pages, writes a PDF that cites them.

use serde_json::{Value, json};

use super::python;
use super::reply::Reply;
use super::scene::Scene;
use super::sentences::about;

const PROGRAM: &str = include_str!("report.py");
const TOOLS: [&str; 5] = ["current_time", "web_search", "fetch_url", "python", "save_artifact"];
/// As the sample's instructions say.
const PAGES: usize = 3;
const SENTENCES_OF_A_PAGE: usize = 3;
const RESULTS: usize = 6;

/// A result of the search.
#[derive(Debug, PartialEq)]
struct Found<'r> {
    number: u32,
    title: &'r str,
    url: &'r str,
}

/// A page that was read, and its sentences about the question.
struct Read<'r> {
    found: Found<'r>,
    sentences: Vec<String>,
}

pub(super) fn answer(scene: &Scene<'_>) -> Option<Reply> {
    let question = scene.labelled("Question:");
    if !scene.offers(&TOOLS) || !scene.mentions("report") || question.is_empty() {
        return None;
    }
    let Some(listed) = scene.results("web_search").next_back() else {
        return Some(
            Reply::text("I search for the question.")
                .call("current_time", json!({}))
                .call("web_search", json!({"query": question, "count": RESULTS})),
        );
    };
    let found = found(listed);
    if found.is_empty() {
        return Some(Reply::stuck("The search found no page."));
    }
    if !scene.has_called("fetch_url") {
        let urls: Vec<_> = found.iter().take(PAGES).map(|found| found.url).collect();
        let reply = Reply::text(format!("I read the first {} pages of the results.", urls.len()));
        return Some(urls.iter().fold(reply, |reply, url| reply.call("fetch_url", json!({"url": url}))));
    }
    let pages = read(scene, found, question);
    if pages.is_empty() {
        return Some(Reply::stuck("The pages say nothing about the question."));
    }
    Some(match scene.results("python").next_back() {
        None => Reply::text("I write the report as a PDF, with a number for each source.")
            .call("python", python::call(PROGRAM, &data(scene, question, &pages))),
        Some(output) => match python::result(output) {
            None => Reply::stuck(&python::failure(output)),
            Some(_) if !scene.has_called("save_artifact") => {
                Reply::text("The report is written; I publish it.")
                    .call("save_artifact", json!({"path": "report.pdf"}))
            }
            Some(_) => Reply::text(in_words(&pages)),
        },
    })
}

/// The results in the text of a search: a line like `[2] title — url — date` for each.
fn found(listed: &str) -> Vec<Found<'_>> {
    let one = |line: &str| -> Option<(u32, usize)> {
        let number = line.trim_start().strip_prefix('[')?.split_once(']')?.0.parse().ok()?;
        Some((number, line.find("http")?))
    };
    let lines = listed.lines().filter_map(|line| {
        let (number, at) = one(line)?;
        let url = line[at..].split_whitespace().next()?;
        let title = line[..at].split_once(']')?.1.trim().trim_end_matches(['—', '-', ' ']);
        Some(Found { number, title, url })
    });
    lines.collect()
}

/// The pages that say something about the question.
fn read<'r>(scene: &Scene<'r>, found: Vec<Found<'r>>, question: &str) -> Vec<Read<'r>> {
    let page = |found: Found<'r>| {
        let mut fetches = scene.turns.iter().filter(|turn| turn.tool == "fetch_url");
        let page = fetches.find(|turn| turn.argument("url").is_some_and(|url| url == found.url))?;
        let sentences = about(question, page.result, SENTENCES_OF_A_PAGE);
        (!sentences.is_empty()).then_some(Read { found, sentences })
    };
    found.into_iter().filter_map(page).collect()
}

fn data(scene: &Scene<'_>, question: &str, pages: &[Read<'_>]) -> Value {
    let time = scene.results("current_time").next_back().unwrap_or_default();
    let section = |page: &Read<'_>| {
        let Found { number, title, url } = page.found;
        json!({"number": number, "title": title, "url": url, "sentences": page.sentences})
    };
    let sections: Vec<_> = pages.iter().map(section).collect();
    json!({"question": question, "date": date(time), "sections": sections})
}

/// The date in a text like `2026-12-01T09:30:00Z`.
fn date(time: &str) -> Option<&str> {
    let is_date = |date: &&str| {
        date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    };
    let words = time.split(|c: char| c != '-' && !c.is_ascii_alphanumeric());
    words.filter_map(|word| word.get(..10)).find(is_date)
}

/// What the first pages say, and where the report is.
fn in_words(pages: &[Read<'_>]) -> String {
    let cited = |page: &Read<'_>| {
        let sentence = page.sentences.first().map_or("", String::as_str);
        format!("{} [{}]", sentence, page.found.number)
    };
    let said: Vec<_> = pages.iter().take(2).map(cited).collect();
    format!("{} The report with all sources is report.pdf.", said.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_a_search_are_read() {
        let listed = "3 results for \"ferry\":\n\n[1] The ferry — http://127.0.0.80/a.html — 2026-02-01\n\
                      It is quiet.\n\n[12] A - B — https://e.example/b\nsnippet [3] no\n[x] http://c/";
        assert_eq!(
            found(listed),
            [
                Found { number: 1, title: "The ferry", url: "http://127.0.0.80/a.html" },
                Found { number: 12, title: "A - B", url: "https://e.example/b" },
            ]
        );
        assert!(found("no results").is_empty());
    }

    #[test]
    fn the_date_is_found() {
        assert_eq!(date("It is 2026-12-01T09:30:00Z (UTC)"), Some("2026-12-01"));
        assert_eq!((date("noon"), date("")), (None, None));
    }
}
