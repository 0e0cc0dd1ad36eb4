//! Query parameters, read by hand so that one answer lists every error. An unknown parameter is an error too:
//! a mistyped filter that is ignored would give a wrong list.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use actix_web::HttpRequest;
use gateway_domain::{FieldError, MAX_FIELD_ERRORS, Refusal, quoted};
use url::form_urlencoded;

use crate::http::ApiError;

/// Bytes of a query.
const MAX_BYTES: usize = 16 * 1024;

/// The parameters that are not read yet, and the errors so far.
#[derive(Debug, Default)]
pub struct Query {
    values: BTreeMap<String, Vec<String>>,
    /// Known names, for messages.
    known: Vec<String>,
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
            let message = if self.known.is_empty() {
                format!("unknown parameter {name:?}; this path takes none")
            } else {
                format!("unknown parameter {name:?}; known are: {}", self.known.join(", "))
            };
            self.errors.push(FieldError::parameter(name, "unknown", message));
        }
        Ok(Refusal::unless_empty(self.errors)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
             parameter \"lmit\"; known are: status, limit, metadata.KEY, wait"
        );
        assert!(Query::parse("a=%00").unwrap().end().unwrap_err().to_string().contains("U+0000"));
        assert!(Query::parse(&"a".repeat(20_000)).is_err());
    }
}
