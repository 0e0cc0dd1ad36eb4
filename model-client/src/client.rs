//! The client of one model on one server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use reqwest::Response;
use reqwest::header::{HeaderMap, LOCATION};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use shared::config::{Model, ModelSettings};
use shared::text::CleanText;
use tokio::time::timeout;

use super::correction::{self, Correction, Sent};
use super::credentials;
use super::json::{error_message, told};
use super::learned::Learned;
use super::provider::{self, Outgoing, Provider};
use super::read::{Patience, Reader, read_up_to};
use super::refusal::classify;
use super::request::harmless;
use super::retry::retry_after;
use super::{Answer, ModelError, Offered, Request, ToolChoice, Words, failure, replay};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an error body that are read, and of its message that are kept.
const MAX_ERROR_BYTES: usize = 256 << 10;
const MAX_MESSAGE_BYTES: usize = 300;
/// Headers with the server's id of the request.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-request-id", "request-id"];
const MAX_REQUEST_ID_BYTES: usize = 80;
/// Reading an error body takes at most this long.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);
/// The most corrections for one answer. If the server still refuses, corrections do not help.
const MAX_CORRECTIONS: usize = 5;

pub(crate) struct ServerClient {
    http: reqwest::Client,
    provider: &'static dyn Provider,
    url: String,
    /// The key, and the values of extra headers.
    secrets: Vec<SecretString>,
    has_key: bool,
    headers: HeaderMap,
    learned: Learned,
}

/// Why one request failed, and the correction that may help.
struct Failed {
    error: ModelError,
    correction: Option<Correction>,
}

impl From<ModelError> for Failed {
    fn from(error: ModelError) -> Self {
        Self { error, correction: None }
    }
}

impl ServerClient {
    /// Creates the client and reads the server's key.
    pub(crate) fn new(model: &Model) -> anyhow::Result<Self> {
        let place = || format!("CAPI_MODELS: {}", model.id);
        let key = credentials::key(model).with_context(place)?;
        let settings = model.settings();
        let provider = provider::of(settings.provider).with_context(place)?;
        let base_url = model.base_url.as_ref().context("base_url is missing").with_context(place)?;
        let headers = credentials::headers(provider, &settings, key.as_deref()).with_context(place)?;
        let has_key = key.is_some() || !settings.extra_headers.is_empty();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            provider,
            url: format!("{}/{}", base_url.as_str().trim_end_matches('/'), provider.path()),
            secrets: credentials::secrets(key, &settings),
            has_key,
            headers,
            learned: Learned::new(&model.id, settings),
        })
    }

    /// Includes the corrections that the client learned from refusals.
    #[must_use]
    pub(crate) fn settings(&self) -> Arc<ModelSettings> {
        self.learned.settings()
    }

    /// The settings that refusals of the server corrected, as lines of the models file.
    #[must_use]
    pub(crate) fn learned(&self) -> Vec<String> {
        self.learned.lines()
    }

    /// The most tokens of a conversation: the operator's number, or the server's if that is lower.
    #[must_use]
    pub(crate) fn window(&self) -> Option<u32> {
        self.learned.window()
    }

    /// Sends one request and reads the whole answer. If the server names a parameter that it refuses, the
    /// client sends the request again without it. Dropping the future closes the stream. `words` gets the
    /// text of a streamed answer as it arrives.
    pub(crate) async fn ask(&self, request: Request<'_>, mut words: Words<'_>) -> Result<Answer, ModelError> {
        let mut settings = self.settings();
        let mut made: Vec<Correction> = Vec::new();
        loop {
            let Failed { error, correction } = match self.ask_once(&settings, request, &mut words).await {
                Ok(answer) => {
                    self.learned.answered(&made, &answer);
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            let new = correction.filter(|new| !made.contains(new) && made.len() < MAX_CORRECTIONS);
            let Some(correction) = new else {
                self.learned.refused(&error, &request);
                return Err(error);
            };
            correction.apply(Arc::make_mut(&mut settings));
            made.push(correction);
        }
    }

    /// Sends one request with other settings. The client learns nothing from a refusal.
    pub(crate) async fn try_under(
        &self,
        settings: &ModelSettings,
        request: Request<'_>,
        mut words: Words<'_>,
    ) -> Result<Answer, ModelError> {
        self.ask_once(settings, request, &mut words).await.map_err(|failed| failed.error)
    }

    async fn ask_once(
        &self,
        settings: &ModelSettings,
        request: Request<'_>,
        words: &mut Words<'_>,
    ) -> Result<Answer, Failed> {
        let (body, sent) = self.body_under(settings, request);
        let post = self.http.post(&self.url).headers(self.headers.clone()).json(&body);
        drop(body);
        let patience = Patience::of(settings);
        let sending = timeout(patience.silence, post.send());
        let response = sending.await.map_err(|_| failure::silent())?.map_err(|error| failure::of(&error))?;
        if !response.status().is_success() {
            return Err(self.read_error(response, settings, &sent).await);
        }
        let classify = |error: &Value| self.error_in_answer(error);
        let reader = Reader {
            provider: self.provider,
            patience,
            max_repeated_bytes: settings.max_repeated_bytes,
            classify: &classify,
        };
        Ok(reader.read(response, words).await?)
    }

    /// The body of a request.
    #[must_use]
    pub(crate) fn body(&self, request: Request<'_>) -> Value {
        self.body_under(&self.settings(), request).0
    }

    /// The body of a request, and what it holds.
    fn body_under(&self, settings: &ModelSettings, request: Request<'_>) -> (Value, Sent) {
        let messages = replay(request.messages);
        let parameters: Vec<_> = request.tools.iter().map(|tool| harmless(tool.parameters)).collect();
        let tools = request.tools.iter().zip(&parameters);
        let tools: Vec<_> = tools.map(|(tool, parameters)| Offered { parameters, ..*tool }).collect();
        let schema = request.schema.filter(|_| settings.sends_schema(!tools.is_empty()));
        let limits = request.max_tokens.into_iter().chain(settings.max_output_tokens);
        let is_off = request.tool_choice == ToolChoice::None;
        let no_calls = is_off && settings.tool_choice && !tools.is_empty();
        let outgoing = Outgoing {
            settings,
            messages: &messages,
            tools: &tools,
            schema,
            max_tokens: limits.min(),
            no_calls,
        };
        let mut body = self.provider.body(&outgoing);
        if let Some(members) = body.as_object_mut() {
            members.extend(settings.extra_body.clone());
        }
        // Anthropic demands a limit.
        let limit = body.get("max_tokens").and_then(Value::as_u64).and_then(|most| u32::try_from(most).ok());
        let sent = Sent {
            tools: !tools.is_empty(),
            schema: schema.is_some(),
            max_tokens: outgoing.max_tokens.or(limit),
            no_calls,
        };
        (body, sent)
    }

    /// An error that the server reports inside its answer. Its code may be a status.
    fn error_in_answer(&self, error: &Value) -> ModelError {
        let code = ["code", "status"].iter().find_map(|name| {
            let code = error.get(*name)?;
            code.as_u64().or_else(|| code.as_str()?.parse().ok())
        });
        let status = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
        classify(status, &error.to_string(), self.clean(&error_message(error)), None)
    }

    async fn read_error(&self, mut response: Response, settings: &ModelSettings, sent: &Sent) -> Failed {
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers(), Utc::now()));
        let request = request_id(response.headers()).map(|id| format!(" (request {id})")).unwrap_or_default();
        let body = read_up_to(&mut response, MAX_ERROR_BYTES, ERROR_TIMEOUT).await;
        let text = String::from_utf8_lossy(&body);
        let message = match serde_json::from_slice::<Value>(&body) {
            Ok(value) => error_message(&value),
            Err(_) if text.trim_start().starts_with('<') => "it sent an HTML page".to_owned(),
            Err(_) => text.clone().into_owned(),
        };
        let what = match location(response.headers()) {
            Some(location) => format!("HTTP {status}{request} to {}", self.clean(&location)),
            None => format!("HTTP {status}{request}: {}", self.clean(&message)),
        };
        let error = self.advised(classify(Some(status), &text, what, retry_after), &text);
        // Other refusals, for example of a quota, may name a parameter too.
        let may_be_corrected = status >= 500 || matches!(error, ModelError::Rejected(_));
        let correction =
            if may_be_corrected { correction::find(status, &text, settings, sent) } else { None };
        Failed { error, correction }
    }

    /// The error with the setting that it is about, if one is known.
    fn advised(&self, error: ModelError, body: &str) -> ModelError {
        match error {
            ModelError::Auth(what) if !self.has_key => ModelError::Auth(format!(
                "{what}, and no key is configured: set api_key_env in the models file"
            )),
            ModelError::Rejected(what) => {
                let told = told(body);
                let settings = self.settings();
                let named = settings.extra_body.keys().find(|name| told.contains(&name.to_lowercase()));
                ModelError::Rejected(match named {
                    Some(name) => format!("{what}; extra_body in the models file holds {name:?}"),
                    None => what,
                })
            }
            error => error,
        }
    }

    /// Shortens a message of the server and removes the secrets, which some servers echo.
    fn clean(&self, message: &str) -> String {
        let secrets =
            self.secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty());
        let without = secrets.fold(message.to_owned(), |text, secret| text.replace(secret, "[key]"));
        // Codes for a terminal, and marks that turn the direction of a text.
        let is_shown = |c: &char| {
            !c.is_control()
                && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        let shown: String = without.chars().filter(is_shown).collect();
        CleanText::new(&shown, MAX_MESSAGE_BYTES).into_string()
    }
}

/// Where a redirect leads, without what may hold a secret.
fn location(headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    Some(location.split(['?', '#']).next().unwrap_or_default().to_owned())
}

/// The server's id of the request. The server's operators can find the request by it.
fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = REQUEST_ID_HEADERS.iter().find_map(|name| headers.get(*name))?.to_str().ok()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES && id.chars().all(allowed)).then_some(id)
}
