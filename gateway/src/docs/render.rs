//! A document of docs/ as HTML. The text is our own: it is neither bounded nor sanitised.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// A document as the pages show it.
pub(super) struct Rendered {
    /// The heading of the document.
    pub(super) title: String,
    /// Its first paragraph, without marks.
    pub(super) summary: String,
    /// Its headings of the second level.
    pub(super) sections: Vec<Heading>,
    pub(super) html: String,
}

/// A heading, and the fragment of its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) id: String,
    pub(super) text: String,
}

pub(super) fn render(markdown: &str) -> Rendered {
    let mut parser = Parser::new_ext(markdown, Options::ENABLE_TABLES);
    let mut pieces = Pieces::default();
    while let Some(event) = parser.next() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let inside = until(&mut parser, |end| matches!(end, TagEnd::Heading(_)));
                pieces.heading(level as u8, inside);
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let inside = until(&mut parser, |end| matches!(end, TagEnd::CodeBlock));
                pieces.code(&kind, inside);
            }
            Event::Start(Tag::Paragraph) => {
                let inside = until(&mut parser, |end| matches!(end, TagEnd::Paragraph));
                pieces.paragraph(inside);
            }
            event => pieces.other(event),
        }
    }
    let mut html = String::new();
    html::push_html(&mut html, pieces.events.into_iter());
    Rendered { title: pieces.title, summary: pieces.summary, sections: pieces.sections, html }
}

/// The events before the end of the element that has begun.
fn until<'m>(parser: &mut Parser<'m>, is_end: impl Fn(&TagEnd) -> bool) -> Vec<Event<'m>> {
    parser.take_while(|event| !matches!(event, Event::End(end) if is_end(end))).collect()
}

fn text_of(events: &[Event<'_>]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
        Event::SoftBreak | Event::HardBreak => Some(" "),
        _ => None,
    });
    texts.collect()
}

#[derive(Default)]
struct Pieces<'m> {
    title: String,
    summary: String,
    sections: Vec<Heading>,
    /// The fragments so far.
    ids: Vec<String>,
    codes: usize,
    events: Vec<Event<'m>>,
}

impl<'m> Pieces<'m> {
    fn heading(&mut self, level: u8, inside: Vec<Event<'m>>) {
        let text = text_of(&inside);
        let id = self.new_id(&text);
        self.html(format!("<h{level} id=\"{id}\">"));
        self.events.extend(inside.into_iter().map(with_link));
        if level == 1 {
            self.title.clone_from(&text);
        } else {
            self.html(format!(" <a class=\"anchor\" href=\"#{id}\" aria-labelledby=\"{id}\">#</a>"));
        }
        self.html(format!("</h{level}>\n"));
        if level == 2 {
            self.sections.push(Heading { id, text });
        }
    }

    fn code(&mut self, kind: &CodeBlockKind<'_>, inside: Vec<Event<'m>>) {
        let language = match kind {
            CodeBlockKind::Fenced(info) => info.split(' ').next().unwrap_or_default(),
            CodeBlockKind::Indented => "",
        };
        let name = name_of(language);
        let id = format!("code-{}", self.codes);
        self.codes += 1;
        self.html(format!(
            "<div class=\"code\"><p class=\"kind\">{name}</p><button type=\"button\" class=\"quiet copy\" \
             data-copy=\"{id}\" aria-label=\"Copy block {}\">Copy</button>\n<pre id=\"{id}\" \
             tabindex=\"0\">",
            self.codes
        ));
        self.events.extend(inside);
        self.html("</pre></div>\n".to_owned());
    }

    fn paragraph(&mut self, inside: Vec<Event<'m>>) {
        if self.summary.is_empty() {
            self.summary = text_of(&inside);
        }
        self.html("<p>".to_owned());
        self.events.extend(inside.into_iter().map(with_link));
        self.html("</p>\n".to_owned());
    }

    fn other(&mut self, event: Event<'m>) {
        match event {
            // A wide table scrolls by itself, also with the keyboard.
            Event::Start(Tag::Table(columns)) => {
                self.html(
                    "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Table\">".to_owned(),
                );
                self.events.push(Event::Start(Tag::Table(columns)));
            }
            Event::End(TagEnd::Table) => {
                self.events.push(Event::End(TagEnd::Table));
                self.html("</div>\n".to_owned());
            }
            event => self.events.push(with_link(event)),
        }
    }

    fn html(&mut self, text: String) {
        self.events.push(Event::Html(CowStr::from(text)));
    }

    /// The fragment of a heading, as GitHub makes it, so that links work there too.
    fn new_id(&mut self, text: &str) -> String {
        let lower = text.to_lowercase();
        let kept = lower.chars().filter_map(|sign| match sign {
            ' ' => Some('-'),
            sign if sign.is_alphanumeric() || sign == '-' || sign == '_' => Some(sign),
            _ => None,
        });
        let id: String = kept.collect();
        let before = self.ids.iter().filter(|other| **other == id).count();
        self.ids.push(id.clone());
        if before == 0 { id } else { format!("{id}-{before}") }
    }
}

/// Links between the files of docs/ lead to their pages.
fn with_link(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: page_of(dest_url), title, id })
        }
        event => event,
    }
}

fn page_of(link: CowStr<'_>) -> CowStr<'_> {
    let (path, fragment) = link.split_once('#').map_or((&*link, None), |(path, id)| (path, Some(id)));
    let page = match path.strip_suffix(".md") {
        Some("../API") => "/docs/api".to_owned(),
        Some(name) if !name.contains('/') => format!("/docs/guides/{name}"),
        _ => return link,
    };
    CowStr::from(fragment.map_or_else(|| page.clone(), |id| format!("{page}#{id}")))
}

/// What the page calls a language.
fn name_of(language: &str) -> &str {
    match language {
        "sh" => "Shell",
        "python" => "Python",
        "js" => "JavaScript",
        "go" => "Go",
        "ruby" => "Ruby",
        "php" => "PHP",
        "json" => "JSON",
        "toml" => "TOML",
        "http" => "HTTP",
        _ => "Text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_page() {
        let rendered = render(
            "# A `b`\nFirst *words*\nhere.\n\n## C, d\n[x](files.md#y) [z](../API.md) \
             [w](https://e.example/)\n\n```sh skip\necho \"<a>\"\n```\n\n### C, d\n| a |\n|---|\n| b |\n",
        );
        assert_eq!((rendered.title.as_str(), rendered.summary.as_str()), ("A b", "First words here."));
        assert_eq!(rendered.sections, [Heading { id: "c-d".to_owned(), text: "C, d".to_owned() }]);
        // Shorter lines.
        let html =
            rendered.html.replace("><", ">\n<").replace(" aria", "\n aria").replace(" data", "\n data");
        insta::assert_snapshot!(html, @r##"
        <h1 id="a-b">A <code>b</code>
        </h1>
        <p>First <em>words</em>
        here.</p>
        <h2 id="c-d">C, d <a class="anchor" href="#c-d"
         aria-labelledby="c-d">#</a>
        </h2>
        <p>
        <a href="/docs/guides/files#y">x</a> <a href="/docs/api">z</a> <a href="https://e.example/">w</a>
        </p>
        <div class="code">
        <p class="kind">Shell</p>
        <button type="button" class="quiet copy"
         data-copy="code-0"
         aria-label="Copy block 1">Copy</button>
        <pre id="code-0" tabindex="0">echo "&lt;a&gt;"
        </pre>
        </div>
        <h3 id="c-d-1">C, d <a class="anchor" href="#c-d-1"
         aria-labelledby="c-d-1">#</a>
        </h3>
        <div class="scroll" tabindex="0" role="group"
         aria-label="Table">
        <table>
        <thead>
        <tr>
        <th>a</th>
        </tr>
        </thead>
        <tbody>
        <tr>
        <td>b</td>
        </tr>
        </tbody>
        </table>
        </div>
        "##);
    }
}
