//! /llms.txt: the list of documents for language models that help a developer (llmstxt.org).

use std::fmt::Write;

use actix_web::{HttpResponse, web};

use super::guides::{self, Guide};
use super::page;
use crate::console::Console;

/// GET /llms.txt and /docs/llms.txt. Its links are absolute, because the text is read away from the site.
pub(super) async fn handle(console: web::Data<Console>) -> HttpResponse {
    page::text("text/plain; charset=utf-8", document(console.public_url.as_str()))
}

fn document(public_url: &str) -> String {
    let base = public_url.trim_end_matches('/');
    let line = |guide: &Guide| {
        let Guide { source_path, rendered, .. } = guide;
        format!("- [{}]({base}{source_path}): {}\n", rendered.title, rendered.summary)
    };
    let mut text = String::from(
        "# capi\n\n> capi runs agent apps for programs. A program sends inputs with an API key, and gets the \
         result by waiting, as a stream of events, or by a signed webhook.\n\nThe base path of the API is \
         /api/v1. Requests carry the header `Authorization: Bearer capi_…`. All errors are problems (RFC \
         9457).\n\n## Guides\n\n",
    );
    let (changelog, guides): (Vec<_>, Vec<_>) =
        guides::all().iter().partition(|guide| guide.name == "changelog");
    text.extend(guides.into_iter().map(line));
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "\n## Reference\n\n- [OpenAPI 3.1 document]({base}/api/v1/openapi.json): every endpoint, field and \
         answer\n{}\n## Optional\n\n",
        line(guides::api_document())
    );
    text.extend(changelog.into_iter().map(line));
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn llms_txt_has_the_form_of_llmstxt_org() {
        let text = super::document("https://capi.example/");
        assert!(text.starts_with("# capi\n\n> capi runs"), "{text}");
        let links: Vec<_> = text.lines().filter(|line| line.starts_with("- ")).collect();
        assert!(links.len() > 10, "{text}");
        for link in links {
            assert!(link.starts_with("- [") && link.contains("](https://capi.example/"), "{link}");
            assert!(link.contains("): "), "{link}");
        }
        assert!(text.contains("(https://capi.example/docs/guides/quickstart.md)"), "{text}");
    }
}
