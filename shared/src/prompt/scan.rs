//! Refuses a template by its size, before it is parsed. minijinja's parser and compiler call themselves for
//! each link of a chain (`a + a + …`, `x | f | f …`, `elif … elif …`), so a long chain costs stack.

use super::PromptError;

const MAX_TEMPLATE_BYTES: usize = 64 * 1024;
/// Words, numbers, texts and signs of one `{{ … }}` or `{% … %}`.
const MAX_TOKENS: usize = 500;
/// Blocks within blocks.
const MAX_DEPTH: usize = 32;
/// `elif` and `else` of one template.
const MAX_BRANCHES: usize = 200;
/// Blocks that end with `end…`. `set` is one of them if it has no `=`.
const BLOCKS: [&str; 10] =
    ["for", "if", "with", "set", "autoescape", "filter", "macro", "call", "block", "raw"];

/// Checks the bounds of a template. Its time is linear in the template.
pub fn scan(template: &str) -> Result<(), PromptError> {
    if template.len() > MAX_TEMPLATE_BYTES {
        return Err(PromptError::new(format!("is longer than {MAX_TEMPLATE_BYTES} bytes")));
    }
    let (mut rest, mut line, mut depth, mut branches) = (template, 1, 0_usize, 0);
    while let Some((before, kind, after)) = next_tag(rest) {
        line += lines(before);
        let (tag, behind) = tag(kind, after);
        let refused =
            |what: String| Err(PromptError::new(format!("{what} (in line {line}); make it simpler")));
        if tag.tokens > MAX_TOKENS {
            return refused(format!("has a tag of more than {MAX_TOKENS} words and signs"));
        }
        match tag.keyword {
            "elif" | "else" => branches += 1,
            word if word.starts_with("end") => depth = depth.saturating_sub(1),
            "set" if tag.assigns => {}
            word if BLOCKS.contains(&word) => depth += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return refused(format!("has more than {MAX_DEPTH} blocks within each other"));
        }
        if branches > MAX_BRANCHES {
            return refused(format!("has more than {MAX_BRANCHES} branches"));
        }
        let behind = if tag.keyword == "raw" { skip_raw(behind) } else { behind };
        line += lines(&after[..after.len() - behind.len()]);
        rest = behind;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Expression,
    Statement,
    Comment,
}

impl Kind {
    const fn end(self) -> &'static str {
        match self {
            Self::Expression => "}}",
            Self::Statement => "%}",
            Self::Comment => "#}",
        }
    }
}

/// The text before the next tag, the tag's kind, and the text after its opening signs.
fn next_tag(text: &str) -> Option<(&str, Kind, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find('{') {
        let at = from + found;
        let kind = match text.as_bytes().get(at + 1) {
            Some(b'{') => Kind::Expression,
            Some(b'%') => Kind::Statement,
            Some(b'#') => Kind::Comment,
            _ => {
                from = at + 1;
                continue;
            }
        };
        return Some((&text[..at], kind, &text[at + 2..]));
    }
    None
}

/// What the bounds need of a tag.
struct Scanned<'a> {
    tokens: usize,
    /// The first word of a statement, else empty.
    keyword: &'a str,
    /// Whether it holds the sign `=`.
    assigns: bool,
}

/// Scans one tag. Returns the text behind it too.
fn tag(kind: Kind, text: &str) -> (Scanned<'_>, &str) {
    let mut scanned = Scanned { tokens: 0, keyword: "", assigns: false };
    if kind == Kind::Comment {
        return (scanned, text.split_once(kind.end()).map_or("", |(_, behind)| behind));
    }
    let (mut rest, mut open) = (without_sign(text), 0);
    while let Some(first) = rest.chars().next() {
        // Within brackets the signs are those of maps: `{{ {"a": {}} + 1 }}`.
        if open == 0 && rest.starts_with(kind.end()) {
            return (scanned, &rest[2..]);
        }
        match first {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open -= 1,
            _ => {}
        }
        let length = token_length(first, rest);
        if !first.is_whitespace() {
            scanned.tokens += 1;
            scanned.assigns |= first == '=';
            if scanned.tokens == 1 && kind == Kind::Statement {
                scanned.keyword = &rest[..length];
            }
        }
        rest = &rest[length..];
    }
    (scanned, "")
}

/// Bytes of the token that `rest` begins with: a word, a number, a text in quotes, or one sign.
fn token_length(first: char, rest: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if is_word(first) {
        return rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    }
    if !matches!(first, '"' | '\'') {
        return first.len_utf8();
    }
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let ends = !escaped && *c == first;
        escaped = !escaped && *c == '\\';
        ends
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}

/// The text from the tag on that ends a raw block: what is between them is no template.
fn skip_raw(text: &str) -> &str {
    let starts = text.match_indices("{%").map(|(at, _)| &text[at..]);
    starts.into_iter().find(|tag| ends_raw(&tag[2..])).unwrap_or_default()
}

/// Whether a tag with this text behind its `{%` is exactly `endraw`.
fn ends_raw(text: &str) -> bool {
    let is_space = |c: char| c.is_ascii_whitespace();
    let word = without_sign(text).trim_start_matches(is_space);
    word.strip_prefix("endraw")
        .is_some_and(|behind| without_sign(behind.trim_start_matches(is_space)).starts_with("%}"))
}

/// The text without one sign for the whitespace around a tag.
fn without_sign(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(template: &str) -> String {
        scan(template).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn usual_templates_pass() {
        let plain = "{# {{ #}{% raw %}{{ {% if %}{% endraw %}{{ '}}' ~ \"%}\\\"\" }}{ {% set a = 1 %}";
        for template in ["", "{", "{{", "{{ 'open", "{% if a %}b{% elif c %}d{% else %}e{% endif %}", plain] {
            assert_eq!(refused(template), "fine", "{template}");
        }
        let list = format!("{{{{ [{}] }}}}", "1, ".repeat(200));
        assert_eq!(refused(&list), "fine");
        assert_eq!(refused(&"{% for a in b %}{{ a }}{% endfor %}\n".repeat(1000)), "fine");
    }

    #[test]
    fn long_chains_are_refused_with_their_line() {
        for link in ["+a", "|upper", ".a", "[0]", "~a", " and a", "**a", " is odd", " if a else a"] {
            let template = format!("\n\n{{{{ a{} }}}}", link.repeat(1000));
            assert!(refused(&template).contains("words and signs (in line 3)"), "{link}");
        }
        for link in ["not ", "-", "(", "[", "{a:"] {
            assert!(refused(&format!("{{{{ {}a", link.repeat(1000))).contains("words and signs"), "{link}");
        }
        let branches = format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(4303));
        assert!(refused(&branches).contains("branches"));
        for block in ["{% if a %}", "{% for a in b %}", "{%- set a %}", "{% with %}", "{% filter upper %}"] {
            assert!(refused(&block.repeat(40)).contains("within each other"), "{block}");
        }
        assert!(refused(&"x".repeat(MAX_TEMPLATE_BYTES + 1)).contains("longer"));
    }

    /// What looks like the end of a raw block or of a tag, and is none.
    #[test]
    fn nothing_hides_a_chain() {
        let chain = format!("{{{{ a{} }}}}", "+a".repeat(1000));
        for before in ["{%--endraw%}{{ \"{% endraw %}", "{% endrawX %}{{ \"{% endraw %}", "{{% endraw %}"] {
            assert!(refused(&format!("{{% raw %}}{before}{chain}")).contains("words and signs"), "{before}");
        }
        let behind_a_map = format!("{{{{ {{'b': {{}}}} ~ a{} }}}}", "+a".repeat(1000));
        assert!(refused(&behind_a_map).contains("words and signs"));
        assert_eq!(refused("{% raw %}{% endraw -%}{{ {'b': {}} }}{%+ raw %}{{{%-\n endraw%}"), "fine");
    }

    #[test]
    fn the_time_is_linear() {
        for part in ["{%   ", "{%", "{% ", "{{", "{#", "{%-", "{% '", "{% raw %}", "{", "\n{% a"] {
            let begun = std::time::Instant::now();
            let template = format!("{{% raw %}}{}", part.repeat((MAX_TEMPLATE_BYTES - 10) / part.len()));
            let _ = scan(&template);
            let _ = scan(&template[9..]);
            // It takes milliseconds. The quadratic scan took minutes.
            assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{part}");
        }
    }
}
