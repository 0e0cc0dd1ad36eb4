//! Streamed chat completions: the protocol of most model servers. There are connect and read timeouts, but no
//! total timeout: a long answer may take long, as long as bytes arrive.

use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use shared::config::Model;
use shared::text::CleanText;

use tokio::time::{Instant, timeout_at};

use super::assemble::Assembly;
use super::classify::classify;
use super::request::body;
use super::retry::retry_after;
use super::sse::Decoder;
use super::wire::{decode, error_message};
use super::{Answer, ModelError, Request, Words};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an error body that are read, and of its message that are kept.
const MAX_ERROR_BYTES: usize = 16 * 1024;
const MAX_MESSAGE_BYTES: usize = 300;
/// Headers with the server's id of the request.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-request-id", "request-id"];
const MAX_REQUEST_ID_BYTES: usize = 80;
/// Reading an error body takes at most this long.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that is not a stream.
const MAX_WHOLE_BYTES: usize = 4 << 20;
/// A stream without an event fails after this many times the model's `timeout_seconds`, even if comments
/// arrive.
const TIMEOUTS_WITHOUT_EVENT: u32 = 5;

/// One model behind one server.
pub struct OpenAiModel {
    client: reqwest::Client,
    url: String,
    model: String,
    key: Option<SecretString>,
    authorization: Option<HeaderValue>,
    event_timeout: Duration,
    returns_reasoning: bool,
    traits: ModelTraits,
}

/// What the agent must know about its model.
#[derive(Debug, Clone, Copy)]
pub struct ModelTraits {
    /// It can call tools.
    pub tools: bool,
    /// It takes a JSON Schema for its answer.
    pub json_schema: bool,
    /// The most tokens of a conversation, if the operator sets it.
    pub context_window: Option<u32>,
    /// The most tokens of an answer, if the operator sets it.
    pub max_output_tokens: Option<u32>,
}

impl OpenAiModel {
    /// Reads the server's key.
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
        let key = key.map(|key| key.trim().to_owned());
        let timeout = Duration::from_secs(model.timeout_seconds.into());
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            client,
            url: format!("{}/chat/completions", model.base_url.as_str().trim_end_matches('/')),
            model: model.model.clone(),
            authorization: key.as_deref().map(|key| authorization(&model.id, key)).transpose()?,
            key: key.map(SecretString::from),
            event_timeout: timeout * TIMEOUTS_WITHOUT_EVENT,
            returns_reasoning: model.returns_reasoning,
            traits: ModelTraits {
                tools: model.tools,
                json_schema: model.json_schema,
                context_window: model.context_window,
                max_output_tokens: model.max_output_tokens,
            },
        })
    }

    #[must_use]
    pub const fn traits(&self) -> ModelTraits {
        self.traits
    }

    /// Sends one request and reads the whole answer. Dropping the future closes the stream. `words` gets the
    /// text of a streamed answer as it arrives.
    pub async fn ask(&self, request: Request<'_>, words: Words<'_>) -> Result<Answer, ModelError> {
        let mut post = self.client.post(&self.url).json(&body(&self.model, self.returns_reasoning, request));
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization);
        }
        let response = post.send().await.map_err(|error| ModelError::unavailable(describe(&error)))?;
        if !response.status().is_success() {
            return Err(self.read_error(response).await);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_none_or(|kind| kind.contains("event-stream")) {
            self.read_stream(response, words).await
        } else {
            self.read_whole(response).await
        }
    }

    async fn read_stream(&self, mut response: Response, mut words: Words<'_>) -> Result<Answer, ModelError> {
        let (mut decoder, mut assembly) = (Decoder::default(), Assembly::default());
        let mut last_event = Instant::now();
        loop {
            // Comments keep the read timeout from firing, even if the model behind the server hangs.
            let deadline = last_event + self.event_timeout;
            let wake = words.due().map_or(deadline, |due| due.min(deadline));
            let Ok(next) = timeout_at(wake, response.chunk()).await else {
                if Instant::now() >= deadline {
                    return Err(ModelError::unavailable("its stream sent no event for too long"));
                }
                words.send();
                continue;
            };
            let Some(bytes) = next.map_err(|error| ModelError::unavailable(describe(&error)))? else {
                return assembly.answer(false);
            };
            for event in decoder.push(&bytes).map_err(|error| ModelError::Unusable(error.to_string()))? {
                last_event = Instant::now();
                if event.trim_ascii() == b"[DONE]" {
                    return assembly.answer(true);
                }
                let before = assembly.text().len();
                let goes_on = self.add(&event, &mut assembly)?;
                words.hear(&assembly.text()[before..]);
                if !goes_on {
                    return assembly.answer(true);
                }
            }
        }
    }

    /// Adds one event to the answer. Returns false if reading must stop.
    fn add(&self, event: &[u8], assembly: &mut Assembly) -> Result<bool, ModelError> {
        let chunk = decode(event).map_err(|_| {
            ModelError::Unusable("an event of its stream is not the expected JSON".to_owned())
        })?;
        match chunk.failure() {
            None => assembly.add(chunk),
            Some(error) => {
                let code = ["code", "status"].iter().find_map(|name| {
                    let code = &error[*name];
                    code.as_u64().or_else(|| code.as_str()?.parse().ok())
                });
                let status =
                    code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
                Err(classify(status, &error.to_string(), self.clean(&error_message(&error)), None))
            }
        }
    }

    /// Reads the answer of a server that does not stream. A server that is not a model server fails here.
    async fn read_whole(&self, mut response: Response) -> Result<Answer, ModelError> {
        let body = read_up_to(&mut response, MAX_WHOLE_BYTES, self.event_timeout).await;
        let mut assembly = Assembly::default();
        match self.add(&body, &mut assembly) {
            Err(ModelError::Unusable(_)) => Err(ModelError::Rejected(
                "it answered 200 without a stream of events; check base_url".to_owned(),
            )),
            Err(error) => Err(error),
            Ok(_) => assembly.answer(true),
        }
    }

    async fn read_error(&self, mut response: Response) -> ModelError {
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers(), Utc::now()));
        let request = request_id(response.headers()).map(|id| format!(" (request {id})")).unwrap_or_default();
        let body = read_up_to(&mut response, MAX_ERROR_BYTES, ERROR_TIMEOUT).await;
        let message = match serde_json::from_slice::<Value>(&body) {
            Ok(value) => error_message(&value),
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        let what = format!("HTTP {status}{request}: {}", self.clean(&message));
        classify(Some(status), &String::from_utf8_lossy(&body), what, retry_after)
    }

    /// Shortens a message of the server and removes the key, which some servers echo.
    fn clean(&self, message: &str) -> String {
        let key = self.key.as_ref().map(ExposeSecret::expose_secret).filter(|key| !key.is_empty());
        let without = key.map_or_else(|| message.to_owned(), |key| message.replace(key, "[key]"));
        CleanText::new(&without, MAX_MESSAGE_BYTES).into_string()
    }
}

fn authorization(model: &str, key: &str) -> anyhow::Result<HeaderValue> {
    let value = HeaderValue::from_str(&format!("Bearer {key}")).ok().filter(|_| !key.is_empty());
    let mut value =
        value.with_context(|| format!("CAPI_MODELS: {model}: its key is empty or not one line of ASCII"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads at most `most` bytes of a body, for at most `time`.
async fn read_up_to(response: &mut Response, most: usize, time: Duration) -> Vec<u8> {
    let mut body = Vec::new();
    let deadline = Instant::now() + time;
    while let Ok(Ok(Some(bytes))) = timeout_at(deadline, response.chunk()).await {
        body.extend_from_slice(&bytes[..bytes.len().min(most - body.len())]);
        if body.len() >= most {
            break;
        }
    }
    body
}

/// Leaves out the URL: it may contain a key.
fn describe(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no byte arrived in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

/// The server's id of the request. The server's operators can find the request by it.
fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = REQUEST_ID_HEADERS.iter().find_map(|name| headers.get(*name))?.to_str().ok()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES && id.chars().all(allowed)).then_some(id)
}
