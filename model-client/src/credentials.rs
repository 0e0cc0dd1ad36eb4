//! The key of a model's server, and the headers that hold it and other secrets.

use anyhow::Context as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use shared::config::{Model, ModelSettings};

use super::provider::Provider;

/// Shorter values of extra headers are words like `true`.
const LEAST_SECRET_BYTES: usize = 8;

/// What no error may show: the key, and the values of extra headers.
pub(super) fn secrets(key: Option<String>, settings: &ModelSettings) -> Vec<SecretString> {
    let values = settings.extra_headers.values();
    let extra = values.flat_map(|value| [value.as_str(), last_word(value)]);
    let extra = extra.filter(|secret| secret.len() >= LEAST_SECRET_BYTES).map(str::to_owned);
    key.into_iter().chain(extra).map(SecretString::from).collect()
}

/// The key in `Bearer key`.
fn last_word(value: &str) -> &str {
    value.rsplit(' ').next().unwrap_or_default()
}

/// The server's key, from the environment or a file.
pub(super) fn key(model: &Model) -> anyhow::Result<Option<String>> {
    let key = match (&model.api_key_env, &model.api_key_file) {
        (Some(name), _) => std::env::var(name).with_context(|| format!("{name} is not set"))?,
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        (None, None) => return Ok(None),
    };
    let key = key.trim().to_owned();
    anyhow::ensure!(!key.is_empty(), "its key is empty or not one line of ASCII");
    Ok(Some(key))
}

pub(super) fn headers(
    provider: &dyn Provider,
    settings: &ModelSettings,
    key: Option<&str>,
) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in provider.headers(key) {
        let value = HeaderValue::from_str(&value).ok();
        let mut value = value.context("its key is empty or not one line of ASCII")?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    for (name, value) in &settings.extra_headers {
        let name = HeaderName::try_from(name)
            .with_context(|| format!("extra_headers: {name:?} is no name of a header"))?;
        let mut value =
            HeaderValue::from_str(value).context("extra_headers: a value is not one line of ASCII")?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
