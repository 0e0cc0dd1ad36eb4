//! Web pages that a run found, read or cites, as links. All of it comes from outside, so it is hostile: it is
//! escaped, only http and https become links, and a page shows a bounded part.

use askama::Template;
use shared::net::public_url::MAX_URL_BYTES;
use shared::runs::events::{FoundSource, SourceUse};
use shared::runs::{RunSource, ShownSource};
use url::Url;

use crate::console::shown::{IN_API, Room, TEXT_BYTES};

/// Links of one tool result. More do not help a reader, and Raw JSONL has all of them.
const MAX_LINKS: usize = 50;
/// Bytes of a title or an address that a link shows.
const MAX_LABEL_BYTES: usize = 200;
/// Bytes of a snippet. Search providers send a sentence or two.
const MAX_SNIPPET_BYTES: usize = 600;
/// Bytes of a date.
const MAX_DATE_BYTES: usize = 40;

/// A web page as a link. `bdi` keeps marks for the direction of text inside of its parts.
#[derive(Template)]
#[template(
    source = r#"<span class="faint">[{{ number }}]</span>
{% if let Some(url) = url -%}
<a href="{{ url }}" target="_blank" rel="noreferrer noopener nofollow"><bdi>{{ label }}</bdi></a>
{%- else %}<bdi>{{ label }}</bdi>{% endif %} <span class="faint"><bdi>{{ about }}</bdi></span>
{%- if !snippet.is_empty() %}<p><bdi>{{ snippet }}</bdi></p>{% endif %}"#,
    ext = "html"
)]
pub(super) struct PageLink {
    number: u32,
    /// `None` if it is no address of the web.
    url: Option<String>,
    label: String,
    /// The host, and the date if the search provider sent one.
    about: String,
    snippet: String,
}

/// The links of one tool result.
#[derive(Template)]
#[template(
    source = r#"<div class="found"><ul class="sources" aria-label="Web pages">
{% for link in links %}<li>{{ link|safe }}</li>
{% endfor %}</ul>
{%- if left_out > 0 %}<p class="faint">{{ left_out }} more. {{ elsewhere }}</p>{% endif %}</div>"#,
    ext = "html"
)]
pub(super) struct Found {
    links: Vec<PageLink>,
    left_out: usize,
    elsewhere: &'static str,
}

/// The list of all pages in the summary of a run.
#[derive(Template)]
#[template(path = "run/sources.html")]
pub(super) struct Sources {
    /// What was read or cited, and how.
    used: Vec<(PageLink, String)>,
    /// What a search listed and nothing else used.
    unused: Vec<PageLink>,
    left_out: usize,
}

impl Found {
    /// `None` if the call found no pages.
    pub(super) fn of(sources: &[FoundSource], room: &mut Room) -> Option<Self> {
        if sources.is_empty() {
            return None;
        }
        let link = |source: &FoundSource| {
            let mut link = PageLink::of(source.id, &source.url, &source.title, room)?;
            if let Some(date) = source.date.as_deref().filter(|date| !date.is_empty()) {
                let date = room.start(date, MAX_DATE_BYTES);
                link.about = if link.about.is_empty() { date } else { format!("{} · {date}", link.about) };
            }
            link.snippet = room.start(source.snippet.trim(), MAX_SNIPPET_BYTES);
            Some(link)
        };
        let links: Vec<_> = sources.iter().take(MAX_LINKS).map_while(link).collect();
        Some(Self { left_out: sources.len() - links.len(), links, elsewhere: room.elsewhere() })
    }
}

impl Sources {
    /// `None` if the run used no pages.
    pub(super) fn of(sources: &[ShownSource]) -> Option<Self> {
        if sources.is_empty() {
            return None;
        }
        let mut room = Room::new(TEXT_BYTES, IN_API);
        let (mut used, mut unused) = (Vec::new(), Vec::new());
        let is_used = |source: &&ShownSource| source.how != SourceUse::Searched.as_str();
        let strongest_first =
            sources.iter().filter(is_used).chain(sources.iter().filter(|one| !is_used(one)));
        for source in strongest_first.take(RunSource::MAX_LISTED) {
            let Some(link) = PageLink::of(source.id, &source.url, &source.title, &mut room) else { break };
            if is_used(&source) {
                used.push((link, room.start(&source.how, MAX_DATE_BYTES)));
            } else {
                unused.push(link);
            }
        }
        Some(Self { left_out: sources.len() - used.len() - unused.len(), used, unused })
    }
}

impl PageLink {
    /// `None` if the room is full. An address is never cut: a part of it would be another one.
    fn of(number: u32, url: &str, title: &str, room: &mut Room) -> Option<Self> {
        let title = title.trim();
        let label = room.start(if title.is_empty() { url } else { title }, MAX_LABEL_BYTES);
        if label.is_empty() {
            return None;
        }
        let parsed = web_url(url).filter(|_| room.takes(url.len()));
        let about = parsed.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
        let url = parsed.map(|_| url.to_owned());
        Some(Self { number, url, label, about, snippet: String::new() })
    }
}

/// The text as an address that may become a link.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_URL_BYTES)?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::shown::IN_JSONL;

    fn found(id: u32, url: &str, title: &str) -> FoundSource {
        FoundSource {
            id,
            url: url.to_owned(),
            title: title.to_owned(),
            how: SourceUse::Searched,
            snippet: "It opens <b>at nine</b>.".to_owned(),
            date: Some("2026-11-20".to_owned()),
        }
    }

    fn html(sources: &[FoundSource], room: usize) -> String {
        Found::of(sources, &mut Room::new(room, IN_JSONL)).unwrap().to_string()
    }

    #[test]
    fn a_page_is_a_link_with_its_number_host_date_and_snippet() {
        let html = html(&[found(3, "https://user@e.org/a?b=1&c=2", " The \"museum\" ")], TEXT_BYTES);
        assert!(html.contains("[3]") && html.contains("e.org · 2026-11-20"), "{html}");
        assert!(
            html.contains(
                "<a href=\"https://user@e.org/a?b=1&#38;c=2\" target=\"_blank\" rel=\"noreferrer noopener \
                 nofollow\"><bdi>The &#34;museum&#34;</bdi></a>"
            ),
            "{html}"
        );
        assert!(html.contains("It opens &#60;b&#62;at nine&#60;/b&#62;."), "{html}");
        assert!(Found::of(&[], &mut Room::new(9, IN_JSONL)).is_none());
    }

    #[test]
    fn only_addresses_of_the_web_are_links() {
        for url in ["javascript:alert(1)", "data:text/html,x", "/account", "file:///etc/passwd", "x", ""] {
            let html = html(&[found(1, url, "Title")], TEXT_BYTES);
            assert!(!html.contains("href") && html.contains("Title"), "{html}");
        }
        let long = format!("https://e.org/{}", "x".repeat(MAX_URL_BYTES));
        let html = html(&[found(1, &long, "")], TEXT_BYTES);
        assert!(!html.contains("href") && html.len() < 600, "{html}");
    }

    #[test]
    fn many_pages_make_a_short_list() {
        let many: Vec<_> = (1..=200).map(|id| found(id, "https://e.org/", "A page")).collect();
        let long = html(&many, TEXT_BYTES);
        assert_eq!(long.matches("<li>").count(), MAX_LINKS);
        assert!(long.contains("150 more. Raw JSONL has all of it."), "{long}");
        let short = html(&many, 100);
        assert!((1..5).contains(&short.matches("<li>").count()), "{short}");
        let hostile: Vec<_> =
            (1..=200).map(|id| found(id, "https://e.org/", &"\"&<".repeat(10_000))).collect();
        assert!(html(&hostile, 2000).len() < 20_000);
    }

    #[test]
    fn the_summary_lists_what_was_used_first() {
        let source = |id: u32, how: &str| ShownSource {
            id,
            url: format!("https://e.org/{id}"),
            title: String::new(),
            how: how.to_owned(),
        };
        let sources = [source(1, "searched"), source(2, "cited"), source(3, "<later>")];
        let html = Sources::of(&sources).unwrap().to_string();
        let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text}: {html}"));
        assert!(place("[2]") < place("cited") && place("cited") < place("[3]"));
        assert!(place("&#60;later&#62;") < place("Only in search results (1)"));
        assert!(place("Only in search results (1)") < place("[1]"));
        assert!(Sources::of(&[]).is_none());
        let all = Sources::of(&[source(1, "searched")]).unwrap().to_string();
        assert!(all.contains("<details open>"), "{all}");
    }
}
