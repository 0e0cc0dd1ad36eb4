//! What an answer holds: by its media type, then by its name, then by its first bytes.

use shared::media_types;

use crate::documents::DocumentKind;

/// Types of text beside those that every part of capi knows. Servers use many names for them.
const TEXTS: [&str; 9] = [
    "application/csv",
    "application/ecmascript",
    "application/jsonl",
    "application/jsonlines",
    "application/ndjson",
    "application/x-javascript",
    "application/x-sh",
    "application/x-yaml",
    "application/yml",
];
/// Types that say nothing.
const UNKNOWN: [&str; 7] = [
    "",
    "application/binary",
    "application/download",
    "application/force-download",
    "application/octet-stream",
    "application/x-download",
    "binary/octet-stream",
];
/// Characters of the name of a compression, which a server gives.
const MAX_COMPRESSION: usize = 40;
/// The beginning of a ZIP archive.
const ZIP: &[u8] = b"PK\x03\x04";

/// What the headers and the URL say.
#[derive(Clone)]
pub(super) struct Announced {
    pub(super) content_type: String,
    pub(super) disposition: String,
    pub(super) encoding: String,
    /// Of the URL that answered.
    pub(super) path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Html,
    Table,
    Feed,
    /// Other text. XML may be a feed.
    Text,
    Document(DocumentKind),
    /// Not text.
    Other,
}

impl Announced {
    /// The media type without parameters.
    pub(super) fn media_type(&self) -> String {
        self.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The compression of the content, which the client does not ask for.
    pub(super) fn compression(&self) -> Option<String> {
        let named: String = self.encoding.trim().to_ascii_lowercase().chars().take(MAX_COMPRESSION).collect();
        (!["", "identity"].contains(&named.as_str())).then_some(named)
    }

    /// What the content is. None if only its beginning can tell.
    pub(super) fn content(&self) -> Option<Content> {
        let (media_type, extension) = (self.media_type(), self.extension());
        if let Some(kind) = DocumentKind::of(&media_type) {
            return Some(Content::Document(kind));
        }
        Some(match media_type.as_str() {
            "text/html" | "application/xhtml+xml" => Content::Html,
            "text/csv" | "application/csv" | "text/tab-separated-values" => Content::Table,
            "text/plain" if ["csv", "tsv"].contains(&extension.as_str()) => Content::Table,
            "application/rss+xml" | "application/atom+xml" | "application/rdf+xml" => Content::Feed,
            unknown if UNKNOWN.contains(&unknown) => return None,
            // Servers that do not know Office.
            "application/zip" | "application/x-zip-compressed" => {
                DocumentKind::of_extension(&extension).map_or(Content::Other, Content::Document)
            }
            text if media_types::is_text(text) || TEXTS.contains(&text) => Content::Text,
            _ => Content::Other,
        })
    }

    /// What content without a telling type is.
    pub(super) fn content_by(&self, beginning: &[u8]) -> Content {
        if beginning.starts_with(b"%PDF-") {
            return Content::Document(DocumentKind::Pdf);
        }
        let extension = self.extension();
        match DocumentKind::of_extension(&extension) {
            Some(kind) if beginning.starts_with(ZIP) => return Content::Document(kind),
            _ if beginning.contains(&0) => return Content::Other,
            _ => {}
        }
        let text = String::from_utf8_lossy(beginning).to_ascii_lowercase();
        let markup = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        match extension.as_str() {
            "csv" | "tsv" => Content::Table,
            _ if markup.starts_with("<!doctype html") || markup.starts_with("<html") => Content::Html,
            // Text of any encoding has no control characters but those of lines and pages.
            _ if beginning.iter().any(|byte| *byte < 7) => Content::Other,
            _ if self.content_type.is_empty() && markup.starts_with('<') && !markup.starts_with("<?xml") => {
                Content::Html
            }
            _ => Content::Text,
        }
    }

    /// Of the name that the server gives the file, else of the URL.
    fn extension(&self) -> String {
        let named = self.disposition.split_once("filename").map(|(_, name)| name);
        let named =
            named.and_then(|name| name.split(';').next()).map(|name| name.trim_end_matches(['"', ' ']));
        let of = |name: &str| {
            let last = name.rsplit('/').next().unwrap_or_default();
            last.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase())
        };
        named.and_then(of).or_else(|| of(&self.path)).unwrap_or_default()
    }
}

/// Whether XML is a feed (RSS or Atom).
pub(super) fn is_feed(text: &str) -> bool {
    let head = &text[..text.floor_char_boundary(1000)];
    let begins = |root: &str| {
        let after = head.split(root).skip(1).map(|rest| rest.chars().next());
        after.flatten().any(|next| next == '>' || next.is_whitespace())
    };
    ["<rss", "<feed", "<rdf:RDF"].into_iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(content_type: &str, disposition: &str, path: &str) -> Announced {
        let [content_type, disposition, path] = [content_type, disposition, path].map(str::to_owned);
        Announced { content_type, disposition, encoding: String::new(), path }
    }

    #[test]
    fn the_type_tells_first() {
        for (content_type, path, expected) in [
            ("text/html; charset=utf-8", "/a.pdf", Some(Content::Html)),
            ("Application/PDF", "/download", Some(Content::Document(DocumentKind::Pdf))),
            ("text/plain", "/a/table.CSV", Some(Content::Table)),
            ("text/plain", "/a.txt", Some(Content::Text)),
            ("application/x-yaml", "/", Some(Content::Text)),
            ("application/geo+json", "/", Some(Content::Text)),
            ("application/atom+xml", "/", Some(Content::Feed)),
            ("application/zip", "/a.xlsx", Some(Content::Document(DocumentKind::Xlsx))),
            ("application/zip", "/a.zip", Some(Content::Other)),
            ("image/png", "/a.csv", Some(Content::Other)),
            ("application/octet-stream", "/a.csv", None),
            ("", "/", None),
        ] {
            assert_eq!(announced(content_type, "", path).content(), expected, "{content_type} {path}");
        }
    }

    #[test]
    fn without_a_type_the_name_and_the_beginning_tell() {
        let kind = "application/octet-stream";
        for (content_type, disposition, path, beginning, expected) in [
            (kind, "", "/a", b"%PDF-1.4".as_slice(), Content::Document(DocumentKind::Pdf)),
            (
                kind,
                "attachment; filename=\"r.docx\"; x=y",
                "/get",
                ZIP,
                Content::Document(DocumentKind::Docx),
            ),
            (
                kind,
                "attachment; filename*=UTF-8''r.pptx",
                "/a.csv",
                ZIP,
                Content::Document(DocumentKind::Pptx),
            ),
            (kind, "", "/a.docx", b"not a zip", Content::Text),
            (kind, "", "/a.zip", b"PK\x03\x04\0\0", Content::Other),
            (kind, "", "/a.csv", b"a,b\n", Content::Table),
            (kind, "", "/a.bin", b"\x01\x02", Content::Other),
            (kind, "", "/a", b"\n<!DOCTYPE HTML>", Content::Html),
            ("", "", "/", b"<p>Hello", Content::Html),
            ("", "", "/", b"<?xml?><rss>", Content::Text),
            (kind, "", "/notes", b"gr\xfc\xdfe", Content::Text),
        ] {
            let announced = announced(content_type, disposition, path);
            assert_eq!(announced.content_by(beginning), expected, "{disposition} {path}");
        }
    }

    #[test]
    fn feeds_are_known_by_their_root() {
        assert!(is_feed("<?xml version='1.0'?>\n<!-- x --><rss version='2.0'>"));
        assert!(!is_feed("<?xml?><project><feeds/></project>"));
    }
}
