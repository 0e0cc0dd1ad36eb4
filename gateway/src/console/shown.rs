//! Texts of any length as pages show them. A page stays small whatever is stored: a long text is cut, with a
//! note that says where all of it is.

use std::borrow::Cow;
use std::io;

use askama::Template;
use serde_json::Value;

use super::format::bytes;

/// Bytes of a text that a page shows.
pub(crate) const TEXT_BYTES: usize = 64 << 10;
/// JSON may become so many bytes by line breaks and indentation, whatever it has without them.
const INDENTED_BYTES: usize = 64 << 10;
/// Longer JSON may become so many times longer by line breaks and indentation.
const INDENTED_GROWTH: usize = 2;

/// Where all of a run's texts are.
pub(crate) const IN_JSONL: &str = "Raw JSONL has all of it.";
pub(crate) const IN_API: &str = "The API returns all of it.";

/// The start of a text, in an element `pre`, and a note if there is more.
#[derive(Template)]
#[template(
    source = r#"<pre tabindex="0">{{ text }}</pre>
{%- if let Some(note) = note %}<p class="faint">{{ note }}</p>{% endif %}"#,
    ext = "html"
)]
pub(crate) struct Shown<'t> {
    pub(crate) text: Cow<'t, str>,
    note: Option<String>,
}

impl Shown<'_> {
    pub(crate) const fn is_whole(&self) -> bool {
        self.note.is_none()
    }
}

/// The room for texts of a page, or of a part of it.
pub(crate) struct Room {
    /// Bytes for further texts.
    left: usize,
    /// A sentence that says where all of a text is.
    elsewhere: &'static str,
}

impl Room {
    pub(crate) const fn new(left: usize, elsewhere: &'static str) -> Self {
        Self { left, elsewhere }
    }

    /// The text, cut to [`TEXT_BYTES`] and to what is left of the room.
    pub(crate) fn show<'t>(&mut self, text: impl Into<Cow<'t, str>>) -> Shown<'t> {
        let text = text.into();
        let end = text.floor_char_boundary(self.left.min(TEXT_BYTES));
        self.left -= end;
        if end == text.len() {
            return Shown { text, note: None };
        }
        let size = |length: usize| bytes(i64::try_from(length).unwrap_or(i64::MAX));
        let note = format!("Cut: {} of {} are shown. {}", size(end), size(text.len()), self.elsewhere);
        Shown { text: text[..end].to_owned().into(), note: Some(note) }
    }

    /// The start of a text that needs no note: at most `most` bytes, and what is left of the room.
    pub(crate) fn start(&mut self, text: &str, most: usize) -> String {
        let end = text.floor_char_boundary(self.left.min(most));
        self.left -= end;
        let more = if end > 0 && end < text.len() { "…" } else { "" };
        format!("{}{more}", &text[..end])
    }

    /// Takes room for a text that is shown whole. Returns false if there is not enough.
    pub(crate) const fn takes(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.left;
        if fits {
            self.left -= bytes;
        }
        fits
    }

    /// The sentence that says where all of a text is.
    pub(crate) const fn elsewhere(&self) -> &'static str {
        self.elsewhere
    }
}

/// JSON with line breaks and indentation. On one line, if they would make it much longer: deep nesting grows
/// with the indentation.
pub(crate) fn json_text(value: &Value) -> String {
    let compact = value.to_string();
    let mut indented = Bounded::new(INDENTED_BYTES.max(compact.len() * INDENTED_GROWTH));
    let written = serde_json::to_writer_pretty(&mut indented, value);
    written.ok().and_then(|()| indented.into_text()).unwrap_or(compact)
}

/// A buffer that fails to take more bytes than `most`.
pub(crate) struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Bounded {
    pub(crate) const fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    /// What was written, if it is UTF-8.
    pub(crate) fn into_text(self) -> Option<String> {
        String::from_utf8(self.bytes).ok()
    }
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > self.most {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_indented_unless_that_makes_it_much_longer() {
        assert_eq!(json_text(&json!({"a": [1]})), "{\n  \"a\": [\n    1\n  ]\n}");
        let deep = (0..56).fold(json!(vec![0; 31_000]), |inner, _| json!([inner]));
        assert_eq!(json_text(&deep), deep.to_string());
        let long = json!(vec!["a text of some length"; 5000]);
        assert!(json_text(&long).lines().count() > 5000, "a long value is indented too");
    }

    #[test]
    fn a_long_text_is_cut_with_a_note() {
        let mut room = Room::new(TEXT_BYTES + 10, IN_API);
        let whole = room.show("<b>");
        assert!(whole.is_whole());
        assert_eq!(whole.to_string(), r#"<pre tabindex="0">&#60;b&#62;</pre>"#);
        let cut = room.show(format!("a{}", "é".repeat(TEXT_BYTES)));
        assert_eq!(cut.text.len(), TEXT_BYTES - 1, "it ends on a character");
        assert!(cut.to_string().ends_with(
            "<p class=\"faint\">Cut: 63.9 KiB of 128.0 KiB are shown. The API returns all of it.</p>"
        ));
        assert_eq!(room.start("12é", 3), "12…", "it ends on a character");
        assert_eq!(room.start("12", 3), "12");
        assert!(!room.takes(5) && room.takes(1), "the room has an end");
        assert_eq!(room.show("123456789").text, "123");
        assert_eq!(room.start("1", 3), "");
    }
}
