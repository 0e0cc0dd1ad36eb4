//! The types that endings of names tell. Pictures, sound and archives are not among them: their content tells
//! more.

/// Formats of text.
const TEXTS: [(&str, &str); 21] = [
    ("csv", "text/csv"),
    ("geojson", "application/geo+json"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ics", "text/calendar"),
    ("json", "application/json"),
    ("jsonl", "application/x-ndjson"),
    ("markdown", "text/markdown"),
    ("md", "text/markdown"),
    ("ndjson", "application/x-ndjson"),
    ("atom", "application/atom+xml"),
    ("rss", "application/rss+xml"),
    ("sql", "application/sql"),
    ("svg", "image/svg+xml"),
    ("tab", "text/tab-separated-values"),
    ("toml", "application/toml"),
    ("tsv", "text/tab-separated-values"),
    ("vcf", "text/vcard"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
];

/// Formats that are ZIP archives.
const ZIPPED: [(&str, &str); 16] = [
    ("docm", "application/vnd.ms-word.document.macroenabled.12"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("dotx", "application/vnd.openxmlformats-officedocument.wordprocessingml.template"),
    ("epub", "application/epub+zip"),
    ("jar", "application/java-archive"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("potx", "application/vnd.openxmlformats-officedocument.presentationml.template"),
    ("ppsx", "application/vnd.openxmlformats-officedocument.presentationml.slideshow"),
    ("pptm", "application/vnd.ms-powerpoint.presentation.macroenabled.12"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("xlsb", "application/vnd.ms-excel.sheet.binary.macroenabled.12"),
    ("xlsm", "application/vnd.ms-excel.sheet.macroenabled.12"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xltx", "application/vnd.openxmlformats-officedocument.spreadsheetml.template"),
];

/// Formats in the container of Office before 2007.
const COMPOUND: [(&str, &str); 4] = [
    ("doc", "application/msword"),
    ("msg", "application/vnd.ms-outlook"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("xls", "application/vnd.ms-excel"),
];

/// Formats that `infer` does not know.
const OTHERS: [(&str, &str); 3] = [
    ("arrow", "application/vnd.apache.arrow.file"),
    ("feather", "application/vnd.apache.arrow.file"),
    ("parquet", "application/vnd.apache.parquet"),
];

/// The type of text with this name.
pub(super) fn of_text(name: &str) -> Option<&'static str> {
    find(&TEXTS, name)
}

/// The type of a binary file with this name, whose content shows a type.
pub(super) fn of_binary(name: &str, sniffed: Option<&str>) -> Option<&'static str> {
    let is_zip = |sniffed: &str| {
        sniffed == "application/zip" || sniffed.starts_with("application/vnd.openxmlformats-officedocument")
    };
    match sniffed {
        None => [&ZIPPED[..], &COMPOUND, &OTHERS].into_iter().find_map(|table| find(table, name)),
        Some(sniffed) if is_zip(sniffed) => find(&ZIPPED, name),
        Some("application/x-ole-storage") => find(&COMPOUND, name),
        Some(_) => None,
    }
}

fn find(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let ending = name.rsplit_once('.')?.1.to_ascii_lowercase();
    table.iter().find(|(known, _)| *known == ending).map(|(_, media_type)| *media_type)
}
