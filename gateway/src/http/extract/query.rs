//! Query parameters, read by hand so that one answer lists every error. An unknown parameter is an error too:
//! a mistyped filter that is ignored would give a wrong list.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use actix_web::HttpRequest;
use chrono::{DateTime, Utc};
use gateway_domain::page::can_be_stored;
use gateway_domain::suggestion::{did_you_mean, is_same_name};
use gateway_domain::{FieldError, MAX_FIELD_ERRORS, Refusal, quoted};
use url::form_urlencoded;

use crate::http::ApiError;

/// Bytes of a query.
const MAX_BYTES: usize = 16 * 1024;

/// Names of headers that clients put into the query.
const HEADERS: [(&str, &str); 6] = [
    ("idempotencyKey", "send it as the header Idempotency-Key"),
    ("prefer", "send it as the header Prefer"),
    ("authorization", "send the API key as the header `Authorization: Bearer capi_…`"),
    ("apiKey", "send the API key as the header `Authorization: Bearer capi_…`"),
    ("key", "send the API key as the header `Authorization: Bearer capi_…`"),
    ("token", "send the API key as the header `Authorization: Bearer capi_…`"),
];

/// The parameters that are not read yet, and the errors so far.
#[derive(Debug, Default)]
pub struct Query {
    values: BTreeMap<String, Vec<String>>,
    /// Known names, for messages.
    known: Vec<String>,
    /// Names that belong to another part of the request, and to which.
    elsewhere: Vec<(String, &'static str)>,
    errors: Vec<FieldError>,
}

impl Query {
    /// Splits the request's query.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        Self::parse(request.query_string())
    }

    /// Reads a query that a browser made from a form: an empty field counts as absent.
    pub fn without_empty(request: &HttpRequest) -> Result<Self, ApiError> {
        let mut query = Self::of(request)?;
        query.values.retain(|_, values| {
            values.retain(|value| !value.is_empty());
            !values.is_empty()
        });
        Ok(query)
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        if text.len() > MAX_BYTES {
            let message = format!("the query is longer than {MAX_BYTES} bytes; shorten it");
            return Err(ApiError::invalid_request(message));
        }
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if name.contains('\0') || value.contains('\0') {
                query.wrong(&name.replace('\0', ""), "the query holds the character U+0000; leave it out");
            }
            query.values.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        Ok(query)
    }

    /// Refuses any parameter.
    pub fn none(request: &HttpRequest) -> Result<(), ApiError> {
        Self::of(request)?.end()
    }

    /// All values of a parameter that may repeat.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        self.known.push(name.to_owned());
        self.values.remove(name).unwrap_or_default()
    }

    /// The value of a parameter.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        if values.len() > 1 {
            self.wrong(name, &format!("{name} appears twice; give it once"));
        }
        values.pop()
    }

    /// The parsed value. `what` says in words what it must be.
    pub fn value<T: FromStr>(&mut self, name: &str, what: impl Display) -> Option<T> {
        self.parsed(name, what, |text| text.parse().ok())
    }

    /// The value, parsed by `parse`.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        what: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.wrong(name, &format!("{name} must be {what}"));
        }
        parsed
    }

    /// The values of a parameter that may repeat, in one order and each once. `all` are the words it knows.
    pub fn any_of<T: FromStr + Ord>(&mut self, name: &str, all: &[&str]) -> Vec<T> {
        let mut found = Vec::new();
        for text in self.all(name) {
            match text.parse() {
                Ok(value) => found.push(value),
                Err(_) => self.wrong(name, &format!("{name} must be one of: {}", all.join(", "))),
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The parameters that begin with `prefix` and a dot, by the rest of their names.
    pub fn prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        self.known.push(format!("{prefix}.KEY"));
        let start = format!("{prefix}.");
        let names: Vec<_> = self.values.keys().filter(|name| name.starts_with(&start)).cloned().collect();
        let known = self.known.len();
        let pairs = names
            .into_iter()
            .filter_map(|name| Some((name[start.len()..].to_owned(), self.text(&name)?)))
            .collect();
        self.known.truncate(known);
        pairs
    }

    /// Names that clients put into the query by mistake, and what to do with them.
    pub fn elsewhere(&mut self, names: &[&str], advice: &'static str) {
        self.elsewhere.extend(names.iter().map(|name| ((*name).to_owned(), advice)));
    }

    /// A point in time.
    pub fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        self.parsed(name, "a time like 2026-11-24T12:00:00Z (RFC 3339)", parse_time)
    }

    /// Records an error.
    pub fn wrong(&mut self, name: &str, message: &str) {
        if self.errors.len() < MAX_FIELD_ERRORS {
            self.errors.push(FieldError::parameter(quoted(name), "invalid", message));
        }
    }

    /// Refuses the request if it has unknown parameters or errors.
    pub fn end(mut self) -> Result<(), ApiError> {
        for name in self.values.keys().take(MAX_FIELD_ERRORS) {
            let name = quoted(name);
            let meant = self.meant_by(&name);
            let message = if self.known.is_empty() {
                format!("unknown parameter {name:?}{meant}; this path takes none")
            } else {
                format!("unknown parameter {name:?}{meant}; known are: {}", self.known.join(", "))
            };
            self.errors.push(FieldError::parameter(name, "unknown", message));
        }
        Ok(Refusal::unless_empty(self.errors)?)
    }

    /// What an unknown name probably stands for, in words that follow the name.
    fn meant_by(&self, name: &str) -> String {
        let of_path = self.elsewhere.iter().map(|(known, advice)| (known.as_str(), *advice));
        let misplaced = of_path.chain(HEADERS).find(|(known, _)| is_same_name(known, name));
        match misplaced {
            Some((_, advice)) => format!(" ({advice})"),
            None => did_you_mean(name, self.known.iter().map(String::as_str)),
        }
    }
}

/// A time in RFC 3339. A + that is not percent-encoded arrives as a space, before the offset at the end.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let sent = || text.rsplit_once(' ').map(|(time, offset)| format!("{time}+{offset}"));
    let parse = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    let time = parse(text).or_else(|| parse(&sent()?))?.to_utc();
    can_be_stored(time).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misplaced_name_is_told_where_it_belongs() {
        let said = |text: &str| {
            let mut query = Query::parse(text).unwrap();
            query.value::<bool>("dryRun", "true or false");
            query.elsewhere(&["wait"], "send the header `Prefer: wait=5`");
            query.end().unwrap_err().to_string()
        };
        for (text, expected) in [
            ("wait=5", "Prefer: wait=5"),
            ("Idempotency-Key=a", "header Idempotency-Key"),
            ("dry_run=true", "did you mean \"dryRun\"?"),
            ("api_key=x", "Authorization: Bearer"),
            ("colour=red", "unknown parameter \"colour\"; known are: dryRun"),
        ] {
            assert!(said(text).contains(expected), "{text}: {}", said(text));
        }
    }

    #[test]
    fn a_plus_that_arrives_as_a_space_is_a_plus() {
        let time = |text: &str| parse_time(text).map(|time| time.to_rfc3339());
        let expected = Some("2025-12-31T23:00:00+00:00".to_owned());
        for text in [
            "2026-01-01T00:00:00+01:00",
            "2026-01-01T00:00:00 01:00",
            "2026-01-01T00:00:00.000 01:00",
            "2026-01-01 00:00:00 01:00",
            "2025-12-31T22:00:00-01:00",
            "2025-12-31T23:00:00Z",
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        for text in ["2026-01-01T00:00:00 Z", "2026-01-01", "yesterday", " ", "0001-01-01T00:00:00Z"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn every_error_is_listed() {
        let mut query =
            Query::parse("limit=x&status=a&status=b&status=c&metadata.k=v&wait=1&wait=2&lmit=3").unwrap();
        assert_eq!(query.all("status"), ["a", "b", "c"]);
        assert_eq!(query.value::<u32>("limit", "a whole number"), None);
        assert_eq!(query.prefixed("metadata"), [("k".to_owned(), "v".to_owned())]);
        query.text("wait");
        let said = query.end().unwrap_err().to_string();
        assert_eq!(
            said,
            "invalid_request: limit must be a whole number; wait appears twice; give it once; unknown \
             parameter \"lmit\" (did you mean \"limit\"?); known are: status, limit, metadata.KEY, wait"
        );
        assert!(Query::parse("a=%00").unwrap().end().unwrap_err().to_string().contains("U+0000"));
        assert!(Query::parse(&"a".repeat(20_000)).is_err());
    }
}
