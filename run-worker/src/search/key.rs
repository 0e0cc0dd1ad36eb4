//! The key of a provider, from the environment or a file.

use anyhow::{Context as _, ensure};
use public_client::header::HeaderValue;
use shared::config::SearchEntry;

pub(super) fn read(entry: &SearchEntry) -> anyhow::Result<String> {
    let key = match (&entry.key_env, &entry.key_file) {
        (Some(name), _) => std::env::var(name).with_context(|| format!("{name} is not set"))?,
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        (None, None) => String::new(),
    };
    let key = key.trim().to_owned();
    ensure!(!key.is_empty() && key.is_ascii(), "its key is empty or not one line of ASCII");
    Ok(key)
}

/// A header that no log shows.
pub(super) fn header(value: &str) -> anyhow::Result<HeaderValue> {
    let value = HeaderValue::from_str(value).ok();
    let mut value = value.context("its key is empty or not one line of ASCII")?;
    value.set_sensitive(true);
    Ok(value)
}
