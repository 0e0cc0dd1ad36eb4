//! A scripted model behind an OpenAI-compatible API. The prompt (the first user message) says what it does,
//! so that concurrent runs need no set-up:
//! - `HOLD` streams half an answer and waits for [`ScriptedModel::release`].
//! - `STATUS-401` (or another code) answers with this status.
//! - `CUT` ends the stream half way.
//! - `EMPTY` answers without text.
//! - `SCRIPT [...]` follows a script, one step for each answer (see `script`).
//!
//! The answer to any other prompt is `You said: ` and its first 60 characters.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::http::{Body, respond, respond_with};
use super::script::{Step, step};

#[derive(Clone)]
pub struct ScriptedModel {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    asked: Mutex<Vec<(Instant, Value)>>,
    /// How often each step of a script has failed on purpose.
    failed: Mutex<HashMap<String, u64>>,
    /// Parts of prompts, and the scripts for them.
    scripts: Mutex<Vec<(String, String)>>,
    /// Members of a body that are refused, and the words of the refusal.
    refused: Mutex<Vec<(String, String)>>,
    released: watch::Sender<bool>,
    /// Counts [`ScriptedModel::release_held`].
    generation: watch::Sender<usize>,
    holding: AtomicUsize,
}

impl ScriptedModel {
    /// The environment variable of its key.
    pub const KEY_VARIABLE: &str = "CAPI_TEST_MODEL_KEY";

    pub async fn start() -> Self {
        let state = Arc::new(State {
            asked: Mutex::default(),
            failed: Mutex::default(),
            scripts: Mutex::default(),
            refused: Mutex::default(),
            released: watch::Sender::new(false),
            generation: watch::Sender::new(0),
            holding: AtomicUsize::new(0),
        });
        let served = Arc::clone(&state);
        let address = super::http::serve(move |request| answer(request, Arc::clone(&served))).await;
        Self { address, state }
    }

    /// A models file. `scripted` is this model; `plain` is the same without tools and schemas; `forgetful`
    /// has a small context window; `impatient` has a timeout of three seconds; `away` has an address
    /// where nothing listens.
    #[must_use]
    pub fn models_file(&self) -> String {
        let here = self.address.to_string();
        let entry = |id: &str, address: &str, timeout: u32, more: &str| {
            format!(
                "[[models]]\nid = \"{id}\"\nname = \"{id}\"\nprovider = \"openai\"\nbase_url = \
                 \"http://{address}/v1\"\nmodel = \"{id}\"\ntimeout_seconds = {timeout}\n{more}\n"
            )
        };
        [
            entry(
                "scripted",
                &here,
                30,
                &format!("default = true\napi_key_env = \"{}\"", Self::KEY_VARIABLE),
            ),
            entry("plain", &here, 30, "tools = false\njson_schema = false"),
            entry("forgetful", &here, 30, "context_window = 2000\nmax_output_tokens = 200"),
            entry("impatient", &here, 3, ""),
            entry("away", "127.0.0.1:9", 30, ""),
        ]
        .concat()
    }

    /// Answers prompts that contain this text by a script, for prompts that hold none themselves.
    pub fn script(&self, part_of_prompt: &str, steps: &Value) {
        let mut scripts = self.state.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.push((part_of_prompt.to_owned(), steps.to_string()));
    }

    /// Refuses requests whose body has this member, in these words.
    pub fn refuse(&self, member: &str, words: &str) {
        let mut refused = self.state.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.push((member.to_owned(), words.to_owned()));
    }

    /// The requests so far: the time of each, and its body.
    #[must_use]
    pub fn asked(&self) -> Vec<(Instant, Value)> {
        self.state.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of streams that wait for [`Self::release`] and whose client is connected.
    #[must_use]
    pub fn holding(&self) -> usize {
        self.state.holding.load(Ordering::SeqCst)
    }

    /// Continues the streams that are held now.
    pub fn release_held(&self) {
        self.state.generation.send_modify(|generation| *generation += 1);
    }

    /// Continues all held streams, and holds none from now on.
    pub fn release(&self) {
        self.state.released.send_replace(true);
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Response<Body> {
    let arrived = Instant::now();
    let key = request.headers().get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let key = key.trim_start_matches("Bearer ").to_owned();
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let first = messages.iter().find(|message| message["role"] == "user").cloned().unwrap_or_default();
    let prompt = first["content"].as_str().unwrap_or_default().to_owned();
    let refusal = refusal_of(&state, &body);
    state.asked.lock().unwrap_or_else(PoisonError::into_inner).push((arrived, body));
    if let Some(words) = refusal {
        let words = json!({"error": {"message": words}}).to_string();
        return respond(400, "application/json", stream::iter([words]).boxed());
    }
    if let Some((_, status)) = prompt.split_once("STATUS-") {
        let status = status.get(..3).and_then(|status| status.parse().ok()).unwrap_or(500);
        let words = json!({"error": {"message": format!("scripted refusal of {key}")}}).to_string();
        let id = Some(("x-request-id", "req-7f3a".to_owned()));
        return respond_with(status, "application/json", id, stream::iter([words]).boxed());
    }
    if let Some(script) = script_for(&state, &prompt) {
        let answers = messages.iter().filter(|message| message["role"] == "assistant").count();
        return follow(&state, &script, answers);
    }
    let said: String = prompt.chars().take(60).collect();
    let text = if prompt.contains("EMPTY") { String::new() } else { format!("You said: {said}") };
    let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let before = [": a comment\n\n".to_owned(), chunk(first, "")];
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}});
    let after = [chunk(second, "stop"), format!("data: {usage}\n\n"), "data: [DONE]\n\n".to_owned()];
    let after = if prompt.contains("CUT") { stream::empty().boxed() } else { stream::iter(after).boxed() };
    let waiting = stream::once(hold(state, prompt.contains("HOLD")));
    respond(200, "text/event-stream", stream::iter(before).chain(waiting).chain(after).boxed())
}

fn refusal_of(state: &State, body: &Value) -> Option<String> {
    let refused = state.refused.lock().unwrap_or_else(PoisonError::into_inner);
    refused.iter().find(|(member, _)| body.get(member).is_some()).map(|(_, words)| words.clone())
}

fn script_for(state: &State, prompt: &str) -> Option<String> {
    if let Some((_, script)) = prompt.split_once("SCRIPT ") {
        return Some(script.to_owned());
    }
    let scripts = state.scripts.lock().unwrap_or_else(PoisonError::into_inner);
    scripts.iter().find(|(part, _)| prompt.contains(part)).map(|(_, script)| script.clone())
}

/// Waits for [`ScriptedModel::release`] if `held`.
async fn hold(state: Arc<State>, held: bool) -> String {
    if held {
        let (mut released, mut generation) = (state.released.subscribe(), state.generation.subscribe());
        let _holding = Holding::begin(state);
        tokio::select! {
            _ = released.wait_for(|released| *released) => {}
            _ = generation.changed() => {}
        }
    }
    String::from(": go\n\n")
}

fn follow(state: &Arc<State>, script: &str, answers: usize) -> Response<Body> {
    let mut failed = state.failed.lock().unwrap_or_else(PoisonError::into_inner);
    let already = failed.entry(format!("{answers} {script}")).or_default();
    let (parts, stalls): (BoxStream<'static, String>, bool) = match step(script, answers, *already) {
        Step::Refuse { status, retry_after } => {
            *already += 1;
            let words = json!({"error": {"message": "scripted refusal"}}).to_string();
            let retry_after = retry_after.map(|seconds| ("retry-after", seconds.to_string()));
            return respond_with(status, "application/json", retry_after, stream::iter([words]).boxed());
        }
        Step::Broken(parts) => {
            *already += 1;
            (stream::iter(parts).boxed(), false)
        }
        Step::Stalled(parts) => {
            *already += 1;
            (stream::iter(parts).boxed(), true)
        }
        Step::Held(parts) => {
            (stream::once(hold(Arc::clone(state), true)).chain(stream::iter(parts)).boxed(), false)
        }
        Step::Late(milliseconds, parts) => {
            let wait = async move {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                String::from(": at last\n\n")
            };
            (stream::once(wait).chain(stream::iter(parts)).boxed(), false)
        }
        Step::Whole(parts) => (stream::iter(parts).boxed(), false),
    };
    let end = if stalls { stream::pending().boxed() } else { stream::empty().boxed() };
    respond(200, "text/event-stream", parts.chain(end).boxed())
}

/// Counts a held stream; dropped with the connection.
struct Holding(Arc<State>);

impl Holding {
    fn begin(state: Arc<State>) -> Self {
        state.holding.fetch_add(1, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.holding.fetch_sub(1, Ordering::SeqCst);
    }
}

fn chunk(content: &str, finish_reason: &str) -> String {
    let chunk =
        json!({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}]});
    format!("data: {chunk}\n\n")
}
