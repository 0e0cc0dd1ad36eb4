//! Chat completions, streamed: the protocol that most model servers speak. Connect and read timeouts, no total
//! one: a long answer may take its time as long as it keeps coming.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
#[cfg(test)]
use reqwest::header::HeaderName;
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use shared::config::Model;
use shared::text::CleanText;

use super::assemble::Assembly;
use super::request::body;
use super::sse::Decoder;
use super::wire::{decode, error_words};
use super::{Answer, CONTENT_FILTER, ModelError, Request};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an error body that are read, and of its words that are kept.
const MAX_ERROR_BYTES: usize = 16 * 1024;
const MAX_ERROR_WORDS: usize = 300;

/// One model behind one server.
pub struct OpenAiModel {
    client: reqwest::Client,
    url: String,
    model: String,
    key: Option<SecretString>,
    returns_reasoning: bool,
    traits: ModelTraits,
}

/// What a run should know of its model.
#[derive(Debug, Clone, Copy)]
pub struct ModelTraits {
    /// Whether it can call tools.
    pub tools: bool,
    /// Whether it can be held to a JSON Schema.
    pub json_schema: bool,
    /// Tokens that it takes, if the operator says.
    pub context_window: Option<u32>,
    /// Tokens that it answers with at most, if the operator says.
    pub max_output_tokens: Option<u32>,
}

impl OpenAiModel {
    /// Builds the client and reads the server's key.
    pub fn new(model: &Model) -> anyhow::Result<Self> {
        let key = match (&model.api_key_env, &model.api_key_file) {
            (Some(name), _) => Some(
                std::env::var(name)
                    .with_context(|| format!("CAPI_MODELS: {}: {name} is not set", model.id))?,
            ),
            (None, Some(path)) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("CAPI_MODELS: {}: cannot read {}", model.id, path.display()))?,
            ),
            (None, None) => None,
        };
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(Duration::from_secs(model.timeout_seconds.into()))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            client,
            url: format!("{}/chat/completions", model.base_url.as_str().trim_end_matches('/')),
            model: model.model.clone(),
            key: key.map(|key| SecretString::from(key.trim().to_owned())),
            returns_reasoning: model.returns_reasoning,
            traits: ModelTraits {
                tools: model.tools,
                json_schema: model.json_schema,
                context_window: model.context_window,
                max_output_tokens: model.max_output_tokens,
            },
        })
    }

    /// What the run should know of it.
    #[must_use]
    pub const fn traits(&self) -> ModelTraits {
        self.traits
    }

    /// One question, one whole answer. Dropping the future closes the stream.
    pub async fn ask(&self, request: Request<'_>) -> Result<Answer, ModelError> {
        let body = body(&self.model, self.returns_reasoning, request);
        let mut post = self.client.post(&self.url).json(&body);
        drop(body);
        if let Some(key) = &self.key {
            post = post.bearer_auth(key.expose_secret());
        }
        let response = post.send().await.map_err(|error| ModelError::unavailable(words(&error)))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        self.read_stream(response).await
    }

    async fn read_stream(&self, mut response: Response) -> Result<Answer, ModelError> {
        let (mut decoder, mut assembly) = (Decoder::default(), Assembly::default());
        loop {
            let bytes = response.chunk().await.map_err(|error| ModelError::unavailable(words(&error)))?;
            let Some(bytes) = bytes else { return assembly.answer(false) };
            for event in decoder.push(&bytes).map_err(|error| ModelError::Unusable(error.to_string()))? {
                if event == b"[DONE]" {
                    return assembly.answer(true);
                }
                let chunk = decode(&event).map_err(|_| {
                    ModelError::Unusable("an event of its stream is not the expected JSON".to_owned())
                })?;
                if let Some(error) = chunk.error.as_ref().filter(|error| !error.is_null()) {
                    return Err(self.error_in_mid_stream(error));
                }
                if !assembly.add(chunk)? {
                    return assembly.answer(true);
                }
            }
        }
    }

    fn error_in_mid_stream(&self, error: &Value) -> ModelError {
        let said = self.said(&error_words(error));
        let code = ["code", "status"].iter().find_map(|name| {
            let code = &error[*name];
            code.as_u64().or_else(|| code.as_str()?.parse().ok())
        });
        match code {
            Some(429) => ModelError::RateLimited(said, None),
            Some(500..=599) => ModelError::Unavailable(said, None),
            _ => ModelError::Unusable(said),
        }
    }

    async fn refusal(&self, mut response: Response) -> ModelError {
        let (status, retry_after) = (response.status(), retry_after(response.headers(), Utc::now()));
        let mut body = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend_from_slice(&bytes[..bytes.len().min(MAX_ERROR_BYTES - body.len())]);
            if body.len() >= MAX_ERROR_BYTES {
                break;
            }
        }
        let said = match serde_json::from_slice::<Value>(&body) {
            Ok(value) => error_words(&value),
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        let what = format!("HTTP {}: {}", status.as_u16(), self.said(&said));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ModelError::Auth(format!("HTTP {}", status.as_u16()))
            }
            StatusCode::TOO_MANY_REQUESTS => ModelError::RateLimited(what, retry_after),
            StatusCode::REQUEST_TIMEOUT => ModelError::Unavailable(what, retry_after),
            status if status.is_server_error() => ModelError::Unavailable(what, retry_after),
            StatusCode::BAD_REQUEST if String::from_utf8_lossy(&body).contains(CONTENT_FILTER) => {
                ModelError::Refused(what)
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE
                if said.to_lowercase().contains("context") =>
            {
                ModelError::ContextLength(what)
            }
            _ => ModelError::Rejected(what),
        }
    }

    /// The server's words for whoever reads the run's error: short, and without the key, which some servers echo.
    fn said(&self, words: &str) -> String {
        let key = self.key.as_ref().map(ExposeSecret::expose_secret).filter(|key| !key.is_empty());
        let without = key.map_or_else(|| words.to_owned(), |key| words.replace(key, "[key]"));
        CleanText::new(&without, MAX_ERROR_WORDS).into_string()
    }
}

/// What happened, without the URL: it may hold a key.
fn words(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no byte came in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

/// `Retry-After` (RFC 9110: seconds, or a date), or OpenAI's `retry-after-ms`.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = text("retry-after")?;
    let until = || (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok();
    text.parse().ok().map(Duration::from_secs).or_else(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_milliseconds_or_a_date() {
        let of = |name: &'static str, value: &str| {
            retry_after(
                &HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]),
                DateTime::UNIX_EPOCH,
            )
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("retry-after-ms", "70"), Some(Duration::from_millis(70)));
        assert_eq!(of("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(of("retry-after", "soon"), None);
    }
}
