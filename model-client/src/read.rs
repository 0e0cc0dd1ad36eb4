//! Reads the answer of a model server. The whole time has no limit: an answer may take long while it
//! continues.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;
use shared::config::ModelSettings;
use tokio::time::{Instant, timeout_at};

use super::assemble::Assembly;
use super::failure;
use super::json::decode;
use super::provider::{Failure, Provider};
use super::sse::Decoder;
use super::{Answer, ModelError, Words};

/// A stream fails after this many times the model's `timeout_seconds` without an event, even with comments,
/// or with fewer bytes than [`MIN_BYTES`]. A server that does not stream may be silent for so long.
const TIMEOUTS_WITHOUT_EVENT: u32 = 5;
/// A model on a slow machine sends more: one event with a word has about 200 bytes.
const MIN_BYTES: usize = 64;
/// The most bytes of a stream. The longest answer, with one token in each event, has fewer.
const MAX_STREAM_BYTES: usize = 128 << 20;

/// How long a server may let the worker wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Without a byte.
    pub(super) silence: Duration,
    /// Without an event.
    events: Duration,
}

impl Patience {
    pub(super) fn of(settings: &ModelSettings) -> Self {
        let timeout = Duration::from_secs(settings.timeout_seconds.into());
        let events = timeout * TIMEOUTS_WITHOUT_EVENT;
        Self { silence: if settings.stream { timeout } else { events }, events }
    }
}

/// What a reader needs to know of its model.
pub(super) struct Reader<'r> {
    pub(super) provider: &'static dyn Provider,
    pub(super) patience: Patience,
    pub(super) max_repeated_bytes: usize,
    /// Classifies an error that the server reports inside its answer.
    pub(super) classify: &'r (dyn Fn(&Value) -> ModelError + Sync),
}

impl Reader<'_> {
    /// Reads the whole answer. `words` gets its text as it arrives.
    pub(super) async fn read(
        &self,
        mut response: Response,
        words: &mut Words<'_>,
    ) -> Result<Answer, ModelError> {
        let (mut decoder, mut assembly) = (Decoder::default(), Assembly::new(self.max_repeated_bytes));
        let mut pace = Pace::new(self.patience);
        let mut had_events = false;
        loop {
            let wake = words.due().map_or(pace.deadline(), |due| due.min(pace.deadline()));
            let Ok(next) = timeout_at(wake, response.chunk()).await else {
                match pace.check() {
                    // The end mark never came.
                    Err(_) if assembly.is_whole() => break,
                    checked => checked?,
                }
                words.send();
                continue;
            };
            let bytes = match next {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(_) if assembly.is_whole() => break,
                Err(error) => return Err(failure::of(&error)),
            };
            let events = decoder.push(&bytes).map_err(|error| ModelError::Unusable(error.to_string()))?;
            pace.add(bytes.len(), !events.is_empty())?;
            had_events |= !events.is_empty();
            for event in events {
                if self.add(&event, &mut assembly, words)? {
                    return assembly.answer(true);
                }
            }
        }
        if let Some(event) = decoder.last_event() {
            had_events = true;
            if self.add(&event, &mut assembly, words)? {
                return assembly.answer(true);
            }
        }
        let breaks_off = decoder.begins_json() || pace.all_bytes == 0;
        let plain = decoder.plain();
        for value in &plain {
            self.add_value(value, &mut assembly)?;
        }
        if assembly.is_untouched() && plain.is_empty() && breaks_off {
            return Err(ModelError::unavailable("its answer broke off"));
        }
        if assembly.is_untouched() && had_events {
            let why = "no event of its stream is one of this protocol; check provider in the models file";
            return Err(ModelError::Rejected(why.to_owned()));
        }
        if assembly.is_untouched() && (!plain.is_empty() || !is_stream(response.headers())) {
            return Err(ModelError::Rejected(format!(
                "it answered 200 with {} that is no answer of a model; check base_url",
                content_type(response.headers())
            )));
        }
        // A stream that breaks off may end in anything.
        assembly.answer(!had_events && matches!(&plain[..], [one] if is_whole(one)))
    }

    /// Adds one event. Returns true at the end of the answer.
    fn add(&self, event: &[u8], assembly: &mut Assembly, words: &mut Words<'_>) -> Result<bool, ModelError> {
        if event.trim_ascii() == b"[DONE]" {
            return Ok(true);
        }
        let value = decode(event).map_err(|_| {
            ModelError::Unusable("an event of its stream is not the expected JSON".to_owned())
        })?;
        let before = assembly.text_so_far().len();
        self.add_value(&value, assembly)?;
        words.hear(&assembly.text_so_far()[before..]);
        Ok(assembly.is_done() || assembly.is_over())
    }

    fn add_value(&self, value: &Value, assembly: &mut Assembly) -> Result<(), ModelError> {
        self.provider.add(value, assembly).map_err(|Failure(error)| (self.classify)(&error))
    }
}

/// Detects a stream without events, or with almost no bytes.
struct Pace {
    patience: Patience,
    last_byte: Instant,
    last_event: Instant,
    /// The start of the time in which bytes are counted.
    since: Instant,
    bytes: usize,
    all_bytes: usize,
}

impl Pace {
    fn new(patience: Patience) -> Self {
        let now = Instant::now();
        Self { patience, last_byte: now, last_event: now, since: now, bytes: 0, all_bytes: 0 }
    }

    fn deadline(&self) -> Instant {
        let by_events = self.last_event.min(self.since) + self.patience.events;
        by_events.min(self.last_byte + self.patience.silence)
    }

    fn add(&mut self, bytes: usize, events: bool) -> Result<(), ModelError> {
        self.bytes += bytes;
        self.all_bytes += bytes;
        self.last_byte = Instant::now();
        if events {
            self.last_event = self.last_byte;
        }
        if self.all_bytes > MAX_STREAM_BYTES {
            let why = format!("its answer has more than {} MiB", MAX_STREAM_BYTES >> 20);
            return Err(ModelError::Unusable(why));
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), ModelError> {
        let now = Instant::now();
        if now >= self.last_byte + self.patience.silence {
            return Err(failure::silent());
        }
        // Comments keep the read timeout from firing, even if the model behind the server hangs.
        if now >= self.last_event + self.patience.events {
            return Err(ModelError::Silent("its stream sent no event for too long".to_owned()));
        }
        if now >= self.since + self.patience.events {
            if self.bytes < MIN_BYTES {
                let why =
                    format!("its stream sent {} bytes in {} s", self.bytes, self.patience.events.as_secs());
                return Err(ModelError::Silent(why));
            }
            (self.since, self.bytes) = (now, 0);
        }
        Ok(())
    }
}

/// Whether a JSON body is a whole answer, and not a piece of one.
fn is_whole(body: &Value) -> bool {
    let choice = &body["choices"][0];
    choice["message"].is_object()
        || choice["text"].is_string()
        || body["output"].is_array()
        || body["type"] == "message"
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type")
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none() || content_type(headers).contains("event-stream")
}

/// Reads at most `most` bytes of a body, for at most `time`.
pub(super) async fn read_up_to(response: &mut Response, most: usize, time: Duration) -> Vec<u8> {
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
