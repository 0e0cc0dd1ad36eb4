//! Chat completions, streamed: the protocol that most model servers speak. Connect and read timeouts, no total
//! one: a long answer may take its time as long as it keeps coming.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use shared::config::Model;
use shared::text::CleanText;

use super::assemble::Assembly;
use super::sse::Decoder;
use super::wire::{Chunk, error_words};
use super::{Answer, CONTENT_FILTER, ModelError};
use crate::agent::Message;

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
    max_output_tokens: Option<u32>,
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
            max_output_tokens: model.max_output_tokens,
        })
    }

    /// One question, one whole answer of at most `token_limit` tokens. Dropping the future closes the stream.
    pub async fn ask(&self, messages: &[Message], token_limit: u32) -> Result<Answer, ModelError> {
        let most = self.max_output_tokens.map_or(token_limit, |most| most.min(token_limit));
        let body = json!({
            "model": self.model, "messages": messages, "stream": true, "stream_options": {"include_usage": true},
            "max_tokens": most,
        });
        let mut request = self.client.post(&self.url).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        let response = request.send().await.map_err(|error| ModelError::Unavailable(words(&error)))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        self.read_stream(response).await
    }

    async fn read_stream(&self, mut response: Response) -> Result<Answer, ModelError> {
        let (mut decoder, mut assembly) = (Decoder::default(), Assembly::default());
        loop {
            let bytes = response.chunk().await.map_err(|error| ModelError::Unavailable(words(&error)))?;
            let Some(bytes) = bytes else { return assembly.answer(false) };
            for event in decoder.push(&bytes).map_err(|error| ModelError::Unusable(error.to_string()))? {
                if event == b"[DONE]" {
                    return assembly.answer(true);
                }
                // Bytes that are no UTF-8 become U+FFFD and not the end of the run.
                let chunk: Chunk = serde_json::from_str(&String::from_utf8_lossy(&event)).map_err(|_| {
                    ModelError::Unusable("an event of its stream is not the expected JSON".to_owned())
                })?;
                if let Some(error) = chunk.error.as_ref().filter(|error| !error.is_null()) {
                    return Err(ModelError::Unusable(self.said(&error_words(error))));
                }
                assembly.add(chunk)?;
            }
        }
    }

    async fn refusal(&self, mut response: Response) -> ModelError {
        let status = response.status();
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
            StatusCode::TOO_MANY_REQUESTS => ModelError::RateLimited(what),
            status if status.is_server_error() => ModelError::Unavailable(what),
            StatusCode::BAD_REQUEST if String::from_utf8_lossy(&body).contains(CONTENT_FILTER) => {
                ModelError::Refused(what)
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE
                if said.to_lowercase().contains("context") =>
            {
                ModelError::ContextLength(what)
            }
            _ => ModelError::Unusable(what),
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
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "no byte came in time".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}
