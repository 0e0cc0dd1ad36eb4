//! `If-Match` (RFC 9110, 13.1.1).

use actix_web::HttpRequest;
use actix_web::http::header::IF_MATCH;

/// What the client expects to change.
#[derive(Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever is there.
    Any,
    /// One of these tags, without quotes. A proxy that compresses weakens tags, so weak ones count too.
    Tags(Vec<String>),
}

/// The header of the request, if it has one; an error if it is malformed.
#[must_use]
pub fn if_match(request: &HttpRequest) -> Option<Result<IfMatch, ()>> {
    let values = request.headers().get_all(IF_MATCH);
    let lines: Vec<_> = values.map(|value| value.to_str().unwrap_or_default()).collect();
    (!lines.is_empty()).then(|| parse(&lines.join(",")))
}

fn parse(text: &str) -> Result<IfMatch, ()> {
    if text.trim() == "*" {
        return Ok(IfMatch::Any);
    }
    let tag = |part: &str| {
        let part = part.trim();
        let tag = part.strip_prefix("W/").unwrap_or(part).strip_prefix('"')?.strip_suffix('"')?;
        (!tag.contains('"')).then(|| tag.to_owned())
    };
    text.split(',').map(tag).collect::<Option<_>>().map(IfMatch::Tags).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_in_quotes() {
        let tags = |tags: &[&str]| Ok(IfMatch::Tags(tags.iter().map(ToString::to_string).collect()));
        for (text, expected) in [
            ("*", Ok(IfMatch::Any)),
            (" * ", Ok(IfMatch::Any)),
            ("\"3\"", tags(&["3"])),
            ("W/\"3\"", tags(&["3"])),
            ("\"3\", \"4\"", tags(&["3", "4"])),
            ("3", Err(())),
            ("\"3", Err(())),
            ("", Err(())),
            ("\"", Err(())),
            ("*, \"3\"", Err(())),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
