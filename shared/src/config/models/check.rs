//! What contradicts itself, or cannot be used, in one entry of the models file. Pure.

use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::{Model, Provider};

/// Members of a body that capi itself decides. `extra_body` must not replace them.
const OWN_MEMBERS: [&str; 6] = ["messages", "input", "tools", "stream", "model", "system"];
/// Headers that belong to the connection.
const OWN_HEADERS: [&str; 6] =
    ["content-length", "content-type", "host", "transfer-encoding", "connection", "accept-encoding"];
/// Headers that hold the key, if one is configured.
const KEY_HEADERS: [&str; 2] = ["authorization", "x-api-key"];
/// toml gives dates in this member.
const DATE_MEMBER: &str = "$__toml_private_datetime";
/// A shorter passage may be a table or a list.
const LEAST_REPEATED_BYTES: usize = 512;
/// An answer has no more bytes.
const MOST_REPEATED_BYTES: usize = 1 << 20;
const MOST_TIMEOUT_SECONDS: u32 = 86_400;

impl Model {
    /// What two settings of the entry contradict, or which value cannot be used.
    pub(super) fn contradiction(&self) -> Option<String> {
        if self.provider == Provider::Demo {
            let useless = self.without_server();
            return useless.map(|name| format!("leave out {name}: the demo model is part of capi"));
        }
        if self.json_schema.is_some() && self.structured_output.is_some() {
            return Some("give structured_output, or its older form json_schema, not both".to_owned());
        }
        let wrong = self.wrong_number().or_else(|| self.wrong_text()).or_else(|| self.wrong_extra());
        wrong.or_else(|| self.wrong_address())
    }

    /// A setting that the demo model does not have: it sends no request, calls tools, and sees no pictures.
    fn without_server(&self) -> Option<&'static str> {
        let settings = [
            ("base_url", self.base_url.is_some()),
            ("model", !self.model.is_empty()),
            ("api_key_env", self.api_key_env.is_some()),
            ("api_key_file", self.api_key_file.is_some()),
            ("tools", !self.tools),
            ("vision", self.vision),
            ("extra_body", !self.extra_body.is_empty()),
            ("extra_headers", !self.extra_headers.is_empty()),
            ("context_window", self.context_window.is_some()),
            ("max_output_tokens", self.max_output_tokens.is_some()),
            ("structured_output", self.structured_output.is_some() || self.json_schema.is_some()),
        ];
        settings.into_iter().find(|(_, is_set)| *is_set).map(|(name, _)| name)
    }

    fn wrong_address(&self) -> Option<String> {
        let Some(base_url) = &self.base_url else {
            return Some("base_url is missing; write the address of the model's server".to_owned());
        };
        if !matches!(base_url.scheme(), "http" | "https") {
            return Some("base_url must begin with http:// or https://".to_owned());
        }
        if !base_url.username().is_empty() || base_url.password().is_some() {
            return Some("base_url must hold no name and no password; use api_key_env".to_owned());
        }
        (base_url.query().is_some() || base_url.fragment().is_some())
            .then(|| "base_url must have no query and no fragment".to_owned())
    }

    fn wrong_number(&self) -> Option<String> {
        let numbers =
            [("context_window", self.context_window), ("max_output_tokens", self.max_output_tokens)];
        if let Some((name, _)) = numbers.iter().find(|(_, value)| *value == Some(0)) {
            return Some(format!("{name} must be at least 1; leave it out if it is not known"));
        }
        if self.context_window.zip(self.max_output_tokens).is_some_and(|(window, most)| most > window) {
            return Some("max_output_tokens must not be larger than context_window".to_owned());
        }
        if self.timeout_seconds.is_some_and(|seconds| !(1..=MOST_TIMEOUT_SECONDS).contains(&seconds)) {
            return Some(format!("timeout_seconds must be 1 to {MOST_TIMEOUT_SECONDS}"));
        }
        let repeated = LEAST_REPEATED_BYTES..=MOST_REPEATED_BYTES;
        (self.max_repeated_bytes.is_some_and(|bytes| !repeated.contains(&bytes)))
            .then(|| format!("max_repeated_bytes must be {LEAST_REPEATED_BYTES} to {MOST_REPEATED_BYTES}"))
    }

    fn wrong_text(&self) -> Option<String> {
        let texts = [("reasoning_effort", &self.reasoning_effort), ("api_key_env", &self.api_key_env)];
        let empty = texts.iter().find(|(_, text)| text.as_deref().is_some_and(|text| text.trim().is_empty()));
        if let Some((name, _)) = empty {
            return Some(format!("{name} is empty; leave it out"));
        }
        self.model
            .trim()
            .is_empty()
            .then(|| "model is empty; write the server's name for the model".to_owned())
    }

    fn wrong_extra(&self) -> Option<String> {
        if let Some(own) = OWN_MEMBERS.iter().find(|own| self.extra_body.contains_key(**own)) {
            return Some(format!("extra_body must not hold {own:?}, which capi sets"));
        }
        if let Some((name, _)) = self.extra_body.iter().find(|(_, value)| !is_json(value)) {
            return Some(format!(
                "extra_body: {name} is no JSON: write a date as text, and no nan and no inf"
            ));
        }
        let has_key = self.api_key_env.is_some() || self.api_key_file.is_some();
        self.extra_headers.iter().find_map(|(name, value)| {
            let lower = name.to_ascii_lowercase();
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
                Some(format!("extra_headers: {name:?} is no header, or its value is not one line of ASCII"))
            } else if OWN_HEADERS.contains(&lower.as_str()) {
                Some(format!("extra_headers must not hold {name:?}, which capi sets"))
            } else if has_key && KEY_HEADERS.contains(&lower.as_str()) {
                Some(format!("extra_headers: {name:?} would replace the key; leave out one of the two"))
            } else {
                None
            }
        })
    }
}

/// Whether TOML's value is one of JSON.
fn is_json(value: &Value) -> bool {
    match value {
        // toml turns nan and inf into null.
        Value::Null => false,
        Value::Array(items) => items.iter().all(is_json),
        Value::Object(members) => !members.contains_key(DATE_MEMBER) && members.values().all(is_json),
        _ => true,
    }
}
