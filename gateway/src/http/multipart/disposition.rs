//! The Content-Disposition of a part (RFC 7578, 4.2): its name and its file name. Pure. Clients differ, so
//! this reads what they send and not only what the RFC allows.

use super::encoded::{extended, plain};

const EXAMPLE: &str = "each part needs Content-Disposition: form-data; name=\"…\"";
/// Parameters of a header, and segments of one value (RFC 2231).
const MAX_PARAMETERS: usize = 64;

/// Name and value.
type Parameter = (String, Vec<u8>);

/// What a part is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
}

impl Disposition {
    /// Reads the header, or says what is wrong with it.
    pub(super) fn parse(header: Option<&[u8]>) -> Result<Self, String> {
        let header = header.ok_or_else(|| format!("a part has no Content-Disposition; {EXAMPLE}"))?;
        let (kind, parameters) = split(header).ok_or_else(|| {
            format!("the Content-Disposition of a part has a quote that does not end; {EXAMPLE}")
        })?;
        if !kind.eq_ignore_ascii_case(b"form-data") {
            return Err(format!("a part's Content-Disposition is not form-data; {EXAMPLE}"));
        }
        let value = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_slice())
        };
        let name = value("name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("a part has no name; {EXAMPLE}"))?;
        let name = str::from_utf8(name).map_err(|_| "the name of a part is not UTF-8".to_owned())?;
        let name = plain(name);
        // The extended form wins: clients send the other one for servers that do not know it.
        let whole = value("filename*").and_then(|value| str::from_utf8(value).ok()).and_then(extended);
        let file_name = match whole.or_else(|| in_segments(&parameters)) {
            Some(file_name) => Some(file_name),
            None => match value("filename") {
                Some(given) => Some(plain(str::from_utf8(given).map_err(|_| {
                    format!(
                        "the file name of the part {:?} is not UTF-8; send it as UTF-8, or as \
                         filename*=utf-8''…",
                        gateway_domain::quoted(&name)
                    )
                })?)),
                None if parameters.iter().any(|(name, _)| is_file_name(name)) => {
                    return Err(format!(
                        "the file name of the part {:?} cannot be read; send it as filename=\"…\" in UTF-8",
                        gateway_domain::quoted(&name)
                    ));
                }
                None => None,
            },
        };
        Ok(Self { name, file_name })
    }
}

fn is_file_name(parameter: &str) -> bool {
    parameter.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("filename*"))
}

/// A file name in segments (RFC 2231): `filename*0*=utf-8''Ums; filename*1*=%C3%A4tze.csv`.
fn in_segments(parameters: &[Parameter]) -> Option<String> {
    let mut whole = String::new();
    let segment = |number: usize, encoded: bool| {
        let name = format!("filename*{number}{}", if encoded { "*" } else { "" });
        let found = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        found.and_then(|(_, value)| str::from_utf8(value).ok())
    };
    let is_encoded = segment(0, true).is_some();
    for number in 0..MAX_PARAMETERS {
        whole += &match (segment(number, true), segment(number, false)) {
            // A percent sign of a plain segment stands for itself.
            (None, Some(text)) if is_encoded => text.replace('%', "%25"),
            (Some(text), _) | (None, Some(text)) => text.to_owned(),
            (None, None) => break,
        };
    }
    if is_encoded { extended(&whole) } else { Some(whole).filter(|whole| !whole.is_empty()) }
}

/// The kind, and the parameters with their values. `None` if a quote does not end.
fn split(header: &[u8]) -> Option<(&[u8], Vec<Parameter>)> {
    let end = header.iter().position(|byte| *byte == b';').unwrap_or(header.len());
    let (kind, mut rest) = header.split_at(end);
    let mut parameters = Vec::new();
    while let [b';', tail @ ..] = rest.trim_ascii_start() {
        if parameters.len() == MAX_PARAMETERS {
            break;
        }
        let name_end = tail.iter().position(|byte| b"=;".contains(byte)).unwrap_or(tail.len());
        let name = String::from_utf8_lossy(tail[..name_end].trim_ascii()).into_owned();
        let value;
        (value, rest) = match &tail[name_end..] {
            [b'=', after @ ..] => read_value(after.trim_ascii_start())?,
            after => (Vec::new(), after),
        };
        parameters.push((name, value));
    }
    Some((kind.trim_ascii(), parameters))
}

/// A value in quotes or without, and what follows it.
fn read_value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [b'"', quoted @ ..] = text else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        return Some((text[..end].trim_ascii().to_vec(), &text[end..]));
    };
    let (mut value, mut rest) = (Vec::new(), quoted);
    loop {
        match rest {
            // Before other characters a backslash stands for itself: some clients send Windows paths.
            [b'\\', escaped @ (b'"' | b'\\'), tail @ ..] => {
                value.push(*escaped);
                rest = tail;
            }
            [b'"', tail @ ..] => {
                // What stands between the quote and the next semicolon means nothing.
                let next = tail.iter().position(|byte| *byte == b';').unwrap_or(tail.len());
                return Some((value, &tail[next..]));
            }
            [byte, tail @ ..] => {
                value.push(*byte);
                rest = tail;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_many_clients_are_read() {
        let long = "form-data; name=files; filename*0*=utf-8''Ums; filename*1*=%C3%A4tze; filename*2=.c%sv";
        for (header, name, file_name) in [
            ("form-data; name=\"text\"", "text", None),
            ("form-data;name=text", "text", None),
            ("Form-Data ; NAME = \"text\" ; Filename=\"a.csv\"", "text", Some("a.csv")),
            ("form-data; name=\"files\"; filename=\"Umsätze.csv\"", "files", Some("Umsätze.csv")),
            ("form-data; name=\"f\"; filename=\"a;b=c.csv\"", "f", Some("a;b=c.csv")),
            ("form-data; name=\"f\"; filename=\"C:\\temp\\x.csv\"", "f", Some("C:\\temp\\x.csv")),
            ("form-data; name=\"f\"; filename=\"a\\\"b\\\\c\"", "f", Some("a\"b\\c")),
            ("form-data; name=\"f\"; filename=\"\"", "f", Some("")),
            ("form-data; name=\"f\"; filename=", "f", Some("")),
            (
                "form-data; name=files; filename=\"=?utf-8?B?VW1zw6R0emUuY3N2?=\"; \
                 filename*=utf-8''Ums%C3%A4tze.csv",
                "files",
                Some("Umsätze.csv"),
            ),
            ("form-data; name=f; filename*=\"UTF-8''%E2%82%AC.csv\"; filename=x", "f", Some("€.csv")),
            ("form-data; name=f; filename=fallback.csv; filename*=klingon''a", "f", Some("fallback.csv")),
            ("form-data; name=\"=?utf-8?B?w6Q=?=\"", "ä", None),
            (long, "files", Some("Umsätze.c%sv")),
            ("form-data; name=f; filename*0=a; filename*1=b.csv", "f", Some("ab.csv")),
        ] {
            let found = Disposition::parse(Some(header.as_bytes()));
            let expected = Disposition { name: name.to_owned(), file_name: file_name.map(str::to_owned) };
            assert_eq!(found, Ok(expected), "{header}");
        }
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let refused = |header: &[u8]| Disposition::parse(Some(header)).unwrap_err();
        for (header, said) in [
            (&b"form-data"[..], "a part has no name"),
            (b"form-data; name=\"\"", "a part has no name"),
            (b"form-data; filename=\"a\"", "a part has no name"),
            (b"attachment; name=a", "not form-data"),
            (b"", "not form-data"),
            (b"form-data; name=\"a", "quote that does not end"),
            (b"form-data; name=\"\xe4\"", "the name of a part is not UTF-8"),
            (
                b"form-data; name=\"files\"; filename=\"Ums\xe4tze.csv\"",
                "the file name of the part \"files\" is not UTF-8",
            ),
            (
                b"form-data; name=\"files\"; filename*=utf-8''%E4",
                "the file name of the part \"files\" cannot be read",
            ),
        ] {
            assert!(refused(header).contains(said), "{said}: {}", refused(header));
        }
        assert!(Disposition::parse(None).unwrap_err().contains("no Content-Disposition"));
        let many = format!("form-data; name=a{}", "; x=y".repeat(100_000));
        assert!(Disposition::parse(Some(many.as_bytes())).is_ok());
    }
}
