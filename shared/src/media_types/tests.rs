use super::*;

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

#[test]
fn text_is_typed_by_its_name_first() {
    for (name, beginning, expected) in [
        ("a.csv", "a,b\n", "text/csv"),
        ("a.csv", "BMI,weight\n", "text/csv"),
        ("BMI", "BMI,weight\n", "text/plain"),
        ("A.JSON", "{}", "application/json"),
        ("a.md", "<p >", "text/markdown"),
        ("a.htm", "", "text/html"),
        ("a.svg", "<?xml version='1.0'?><svg/>", "image/svg+xml"),
        ("a.xml", "<?xml?>", "application/xml"),
        ("a", "<?xml?>", "text/xml"),
        ("a.txt", "<!DOCTYPE html>", "text/html"),
        ("a.yml", "a: 1", "application/yaml"),
        ("a.py", "import x", "text/plain"),
        ("csv", "", "text/plain"),
    ] {
        assert_eq!(of_file(name, beginning.as_bytes()), expected, "{name} {beginning}");
    }
    let cut_within_a_character = &"BMé".as_bytes()[..3];
    assert_eq!(of_file("a.csv", cut_within_a_character), "text/csv");
}

#[test]
fn text_of_any_encoding_is_never_a_picture() {
    let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(unit).collect()
    };
    let (little, big) = (utf16("BMI;größe 😀", u16::to_le_bytes), utf16("BMI;größe 😀", u16::to_be_bytes));
    let cut = &little[..little.len() - 2];
    for bytes in [&b"BMI;gr\xf6\xdfe\n"[..], b"BM\xc4\xe3\xba\xc3\n", &little, &big, cut] {
        assert_eq!(of_file("a.csv", bytes), "text/csv", "{}", bytes.escape_ascii());
        assert_eq!(of_file("a.png", bytes), "text/plain", "{}", bytes.escape_ascii());
        assert!(begins_text(bytes));
    }
    let picture = [&b"BM"[..], &[0x46, 0, 0, 0, 0, 0, 0, 0, 0x36, 0]].concat();
    assert_eq!(of_file("a.csv", &picture), "image/bmp");
    assert_eq!(of_file("a.csv", b"\xff\xfe\0\0a\0\0\0"), "application/octet-stream");
}

#[test]
fn binary_files_are_typed_by_their_content() {
    for (name, beginning, expected) in [
        ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), "image/png"),
        ("a.txt", b"%PDF-1.7\n", "application/pdf"),
        ("a.txt", b"a\0b", "application/octet-stream"),
        ("a.parquet", b"PAR1\x15\0", "application/vnd.apache.parquet"),
    ] {
        assert_eq!(of_file(name, beginning), expected, "{name}");
    }
}

#[test]
fn office_formats_are_known_by_name_and_by_content() {
    let empty = b"PK\x03\x04\x14\0\0\0";
    let entry = |name: &str| [&b"PK\x03\x04\x14\0"[..], &[0; 24], name.as_bytes(), &[0; 8]].concat();
    let word = [entry("docProps/app.xml"), entry("customXml/item1.xml"), entry("word/document.xml")].concat();
    let excel = [entry("[Content_Types].xml"), entry("xl/workbook.xml")].concat();
    for (name, beginning, expected) in [
        ("a.zip", &empty[..], "application/zip"),
        ("a.docx", empty, DOCX),
        ("a.XLSX", empty, XLSX),
        ("report", &word, DOCX),
        ("report.docx", &word, DOCX),
        ("table", &excel, XLSX),
        ("table.xlsm", &excel, "application/vnd.ms-excel.sheet.macroenabled.12"),
        ("a.docx", b"a text", "text/plain"),
    ] {
        assert_eq!(of_file(name, beginning), expected, "{name}");
    }
    assert_eq!(of_content(&excel), Some(XLSX));
    assert!(is_known_name("a.docx") && is_known_name("a.csv") && !is_known_name("Report 1.2"));
}

#[test]
fn pictures_are_found_by_their_content() {
    for (beginning, expected) in [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), true),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", true),
        (b"GIF89a\x01\0\x01\0\x80\0\0", true),
        (b"RIFF\x24\0\0\0WEBPVP8 ", true),
        (b"%PDF-1.7\n", false),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", false),
        (b"a table", false),
    ] {
        assert_eq!(is_picture(of_file("a.png", beginning)), expected, "{}", beginning.escape_ascii());
    }
}

#[test]
fn an_upload_keeps_a_given_type_that_says_more() {
    let zip = &b"PK\x03\x04\x14\0\0\0"[..];
    for (given, name, beginning, expected) in [
        (Some("text/csv; charset=utf-8"), "data", &b"BMI,weight\n"[..], "text/csv"),
        (Some("Application/X-Foo"), "a.bin", b"\0\x01", "application/x-foo"),
        // Windows sends this for tables as text.
        (Some("application/vnd.ms-excel"), "a.csv", b"a,b\n", "text/csv"),
        (Some("application/octet-stream"), "a.docx", zip, DOCX),
        (Some("application/zip"), "a.docx", zip, DOCX),
        (Some("video/mp2t"), "a.ts", b"let a = 1;", "text/plain"),
        (Some("image/png"), "a", b"a text", "text/plain"),
        (Some("image/png"), "a", b"\0\x01", "application/octet-stream"),
        (Some("not a type"), "a", b"\0\x01", "application/octet-stream"),
        (None, "a.csv", b"a", "text/csv"),
    ] {
        assert_eq!(of_upload(given, name, beginning), expected, "{given:?} {name}");
    }
}

#[test]
fn readable_types() {
    for text in
        ["text/x", "Text/Plain; charset=x", "application/ld+json", "image/svg+xml", "application/yaml"]
    {
        assert!(is_text(text), "{text}");
    }
    for other in ["image/png", "application/pdf", "application/json-seq", ""] {
        assert!(!is_text(other), "{other}");
    }
}

#[test]
fn media_types_are_recognized() {
    for good in ["text/csv", "text/plain; charset=utf-8", "application/vnd.api+json", "image/svg+xml"] {
        assert!(is_media_type(good), "{good}");
    }
    for bad in ["csv", "text/", "/csv", "text/c sv", "text/csv\n", "text/csv; a=\u{e9}", "a/b/c", ""] {
        assert!(!is_media_type(bad), "{bad}");
    }
}
