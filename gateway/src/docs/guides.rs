//! /docs/guides: each guide as a page, and as Markdown under the same address with `.md`. The texts are files
//! of docs/, compiled into the program.

use std::sync::LazyLock;

use actix_web::{HttpResponse, web};
use askama::Template;
use shared::runs::ErrorCode;

use super::page::{self, Frame};
use super::render::{Rendered, render};
use crate::http::ApiError;
use crate::http::problems::Problem;

const MARKDOWN: &str = "text/markdown; charset=utf-8";
/// Lines of error-codes.md that stand for the two lists.
const PROBLEMS_HERE: &str = "<!-- The gateway lists every problem here. -->";
const RUN_ERRORS_HERE: &str = "<!-- The gateway lists every errorCode here. -->";

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../docs/guides/", $name, ".md"))),)*]
    };
}

/// Name and text, in the order of the index. A new guide is a file of docs/guides and its name here.
const SOURCES: &[(&str, &str)] = sources![
    "quickstart",
    "waiting",
    "webhooks",
    "files",
    "errors",
    "limits",
    "error-codes",
    "apps",
    "models",
    "search",
    "changelog",
];
const API: &str = include_str!("../../../docs/API.md");

/// A document that the gateway serves.
pub(super) struct Guide {
    /// The last part of its path.
    pub(super) name: &'static str,
    /// The path of its page.
    pub(super) path: String,
    /// The path of its Markdown.
    pub(super) source_path: String,
    /// The Markdown with its lists.
    source: String,
    pub(super) rendered: Rendered,
}

impl Guide {
    fn new(name: &'static str, path: String, source_path: String, source: &str) -> Self {
        let source =
            source.replace(PROBLEMS_HERE, &problems_list()).replace(RUN_ERRORS_HERE, &run_errors_list());
        Self { name, path, source_path, rendered: render(&source), source }
    }
}

/// A part of the list of pages.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) links: Vec<Link>,
}

/// A page in a list.
pub(super) struct Link {
    pub(super) path: String,
    pub(super) title: String,
    pub(super) summary: String,
}

/// The guides in the order of the index.
pub(super) fn all() -> &'static [Guide] {
    static ALL: LazyLock<Vec<Guide>> = LazyLock::new(|| {
        let guide = |&(name, source): &(&'static str, &str)| {
            Guide::new(name, format!("/docs/guides/{name}"), format!("/docs/guides/{name}.md"), source)
        };
        SOURCES.iter().map(guide).collect()
    });
    &ALL
}

/// docs/API.md.
pub(super) fn api_document() -> &'static Guide {
    static DOCUMENT: LazyLock<Guide> =
        LazyLock::new(|| Guide::new("api", "/docs/api".to_owned(), "/docs/API.md".to_owned(), API));
    &DOCUMENT
}

/// All pages, for the index and for the list at the side of each page.
pub(super) fn groups() -> &'static [Group] {
    static GROUPS: LazyLock<[Group; 2]> = LazyLock::new(|| {
        let link = |path: &str, title: &str, summary: &str| Link {
            path: path.to_owned(),
            title: title.to_owned(),
            summary: summary.to_owned(),
        };
        let of = |guide: &Guide| link(&guide.path, &guide.rendered.title, &guide.rendered.summary);
        let reference = vec![
            link(
                "/docs/reference",
                "API reference",
                "Every endpoint with its fields and answers. You can send requests from the page.",
            ),
            link("/docs/api", "The API in words", "What a schema cannot say: every rule of the API."),
            link("/docs/problems", "Problems", "Every error that a request can get, one page each."),
        ];
        [
            Group { name: "Guides", links: all().iter().map(of).collect() },
            Group { name: "Reference", links: reference },
        ]
    });
    &*GROUPS
}

#[derive(Template)]
#[template(path = "docs/guide.html")]
struct Page<'g> {
    frame: Frame,
    guide: &'g Guide,
    previous: Option<&'g Guide>,
    next: Option<&'g Guide>,
}

/// GET /docs/guides/{name} and /docs/guides/{name}.md
pub(super) async fn handle(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let (wanted, as_markdown) = match name.strip_suffix(".md") {
        Some(wanted) => (wanted, true),
        None => (name.as_str(), false),
    };
    let at = all().iter().position(|guide| guide.name == wanted).ok_or(ApiError::not_found("guide"))?;
    let guide = &all()[at];
    if as_markdown {
        return Ok(page::text(MARKDOWN, guide.source.as_str()));
    }
    let previous = at.checked_sub(1).and_then(|before| all().get(before));
    show(guide, previous, all().get(at + 1))
}

/// GET /docs/api
pub(super) async fn api() -> Result<HttpResponse, ApiError> {
    show(api_document(), None, None)
}

/// GET /docs/API.md
pub(super) async fn api_as_markdown() -> HttpResponse {
    page::text(MARKDOWN, api_document().source.as_str())
}

fn show(guide: &Guide, previous: Option<&Guide>, next: Option<&Guide>) -> Result<HttpResponse, ApiError> {
    let mut frame = Frame::new(guide.rendered.title.as_str(), guide.path.as_str());
    frame.sections.clone_from(&guide.rendered.sections);
    page::show(&Page { frame, guide, previous, next })
}

fn problems_list() -> String {
    let item = |problem: &Problem| {
        format!(
            "- [`{0}`](/docs/problems/{0}), HTTP {1}: {2}",
            problem.code(),
            problem.status(),
            problem.meaning()
        )
    };
    Problem::ALL.iter().map(item).collect::<Vec<_>>().join("\n")
}

fn run_errors_list() -> String {
    let item = |code: &ErrorCode| {
        let retryable = if code.retryable() { " (retryable)" } else { "" };
        format!("- `{}`{retryable}: {}", code.as_str(), code.meaning())
    };
    ErrorCode::ALL.iter().map(item).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
