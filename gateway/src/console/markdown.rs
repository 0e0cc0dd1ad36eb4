//! Text of a model as HTML: Markdown is rendered, then the result is sanitised. The HTML loads nothing: an
//! image becomes its alternative text. Links open in a new tab and send no referrer.

use std::collections::HashSet;
use std::sync::LazyLock;

use ammonia::Builder;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

use super::shown::{Bounded, Room};

/// Bytes of the longest text that is rendered. A longer text is shown as plain text.
const MAX_RENDERED: usize = 256 * 1024;
/// The HTML of a text may be so many times longer, and [`SHORT_HTML`] bytes more. A row of a table with one
/// sign may have hundreds of cells.
const MAX_GROWTH: usize = 8;
const SHORT_HTML: usize = 4096;
/// The deepest nesting of lists and quotes that is rendered.
const MAX_DEPTH: usize = 50;

static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut sanitiser = Builder::default();
    sanitiser
        .tags(HashSet::from([
            "a",
            "blockquote",
            "br",
            "code",
            "del",
            "em",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "hr",
            "li",
            "ol",
            "p",
            "pre",
            "strong",
            "table",
            "tbody",
            "td",
            "th",
            "thead",
            "tr",
            "ul",
        ]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .generic_attributes(HashSet::new())
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank");
    sanitiser
});

/// Renders a text as safe HTML. A text that is not rendered as Markdown is shown in the room.
pub(crate) fn to_html(text: &str, room: &mut Room) -> String {
    rendered(text).unwrap_or_else(|| room.show(text).to_string())
}

fn rendered(text: &str) -> Option<String> {
    if text.len() > MAX_RENDERED {
        return None;
    }
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    // The sanitiser visits all ancestors of each element, so its time is quadratic in the depth.
    let mut depth = 0_usize;
    let too_deep = Parser::new_ext(text, options).any(|event| {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    });
    if too_deep {
        return None;
    }
    // Raw HTML is shown as text.
    let events = Parser::new_ext(text, options).filter_map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Some(Event::Text(raw)),
        Event::Start(Tag::Image { .. } | Tag::HtmlBlock) | Event::End(TagEnd::Image | TagEnd::HtmlBlock) => {
            None
        }
        event => Some(event),
    });
    let mut rendered = Bounded::new(text.len() * MAX_GROWTH + SHORT_HTML);
    html::write_html_io(&mut rendered, events).ok()?;
    Some(SANITISER.clean(&rendered.into_text()?).to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use shared::testing::property::{check_inputs, repeated};

    use super::super::shown::{IN_API, TEXT_BYTES};
    use super::*;

    /// For a build without optimisation on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(5);

    fn html_of(text: &str) -> String {
        to_html(text, &mut Room::new(TEXT_BYTES, IN_API))
    }

    #[test]
    fn property_of_markdown() {
        const PARTS: &[&str] = &[
            "> ",
            "- ",
            "1. ",
            "    ",
            "\n",
            "\n\n",
            "*",
            "**",
            "_",
            "`",
            "```\n",
            "[",
            "](",
            "](a)",
            ")",
            "![",
            "#",
            "|",
            "|---|\n",
            "<div>",
            "<",
            ">",
            "&amp;",
            "&",
            "~~",
            "\\",
            "a",
            "http://a.example/",
            "[a]: b\n",
            "é",
            "\t",
            "---\n",
            "[^1]",
            "<!--",
            "<a href=x>",
        ];
        check_inputs("markdown", repeated(PARTS, MAX_RENDERED), |text| {
            let begun = Instant::now();
            let html = html_of(text);
            if begun.elapsed() > PATIENCE {
                return Err(format!("it took {:?}", begun.elapsed()));
            }
            let most = 40 * text.len() + 1000;
            if html.len() > most { Err(format!("it became {} bytes", html.len())) } else { Ok(()) }
        });
    }

    #[test]
    fn markdown_is_rendered() {
        insta::assert_snapshot!(
            html_of("# A *b*\n\n- [x](https://e.example/)\n\n| a |\n|---|\n| `b` |\n"),
            @r#"
        <h1>A <em>b</em></h1>
        <ul>
        <li><a href="https://e.example/" target="_blank" rel="noopener noreferrer nofollow">x</a></li>
        </ul>
        <table><thead><tr><th>a</th></tr></thead><tbody>
        <tr><td><code>b</code></td></tr>
        </tbody></table>
        "#
        );
    }

    #[test]
    fn rendered_text_runs_and_loads_nothing() {
        for hostile in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "![x](https://evil.example/pixel.png)",
            "[x](javascript:alert(1))",
            "[x](  JaVaScRiPt:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "<a href=\"x\" onclick=\"alert(1)\">x</a>",
            "<svg/onload=alert(1)>",
            "<iframe src=//evil.example></iframe>",
            "<style>*{background:url(//evil.example)}</style>",
            "<form action=//evil.example><input name=x></form>",
            "[x](/account/sign-out)",
            "```\n</code></pre><script>alert(1)</script>\n```",
            "<!-- <script> --> <b onmouseover=alert(1)>",
        ] {
            let html = html_of(hostile);
            for bad in [
                "<script",
                "<img",
                "<svg",
                "<iframe",
                "<style",
                "<form",
                "<input",
                "href=\"javascript",
                "href=\"data",
                "href=\"/",
            ] {
                assert!(!html.to_lowercase().contains(bad), "{hostile} gives {html}");
            }
            let tags = html.split('<').filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag);
            for tag in tags {
                assert!(!tag.contains(" on"), "{hostile} gives {html}");
            }
        }
    }

    #[test]
    fn deep_nesting_takes_little_time() {
        let begun = std::time::Instant::now();
        for deep in [">".repeat(200_000), "- ".repeat(100_000), "*".repeat(200_000), "[".repeat(200_000)] {
            html_of(&deep);
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(html_of(&">".repeat(1000)).starts_with("<pre tabindex=\"0\">&#62;"));
        assert!(html_of("> > > deep").starts_with("<blockquote>"));
    }

    #[test]
    fn a_very_long_text_is_shown_as_plain_text() {
        let html = html_of(&"<b>*x* ".repeat(100_000));
        assert!(html.starts_with("<pre tabindex=\"0\">&#60;b&#62;*x*"), "{}", &html[..40]);
        assert!(html.ends_with("The API returns all of it.</p>") && html.len() < 5 * TEXT_BYTES);
    }

    #[test]
    fn html_does_not_grow_far_beyond_its_text() {
        let wide = format!("|{}\n|{}\n{}", "a|".repeat(500), "-|".repeat(500), "|a|\n".repeat(200));
        let html = html_of(&wide);
        assert!(html.starts_with("<pre") && html.len() < 5 * wide.len(), "{}", html.len());
        assert!(html_of("|a|b|\n|-|-|\n|c|\n").starts_with("<table>"));
    }
}
