//! A scripted model behind the three protocols of model servers. The prompt (the first user message) says
//! what it does, so that concurrent runs need no set-up:
//! - `HOLD` streams half an answer and waits for [`ScriptedModel::release`].
//! - `STATUS-401` (or another code) answers with this status.
//! - `CUT` ends the stream half way.
//! - `EMPTY` answers without text.
//! - `SCRIPT [...]` follows a script, one step for each answer (see `script`).
//!
//! The answer to any other prompt is `You said: ` and its first 60 characters.
//!
//! The models of [`ScriptedModel::THINKING`] also send reasoning, and refuse a conversation that is not
//! exactly theirs.

mod answer;
mod anthropic;
mod chat;
mod history;
mod hold;
mod models_file;
mod prefix;
mod protocol;
mod responses;
mod script;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::http::{Body, respond, respond_with};
use answer::{Answer, Tokens};
use history::Conversation;
use hold::hold;
use prefix::Measure;
pub use prefix::MeasuredRequest;
use protocol::Protocol;
use script::Delivery;

#[derive(Clone)]
pub struct ScriptedModel {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    asked: Mutex<Vec<(Instant, Arc<Value>)>>,
    /// How often each step of a script has failed on purpose.
    failed: Mutex<HashMap<String, u64>>,
    /// Parts of prompts, and the scripts for them.
    scripts: Mutex<Vec<(String, String)>>,
    /// Members of a body that are refused, and the words of the refusal.
    refused: Mutex<Vec<(String, String)>>,
    measured: Mutex<Vec<MeasuredRequest>>,
    /// What was wrong with refused conversations.
    faults: Mutex<Vec<String>>,
    released: watch::Sender<bool>,
    /// Counts [`ScriptedModel::release_held`].
    generation: watch::Sender<usize>,
    holding: AtomicUsize,
}

impl ScriptedModel {
    /// The environment variable of its key.
    pub const KEY_VARIABLE: &str = "CAPI_TEST_MODEL_KEY";
    /// The models that send reasoning and want it back: one of each protocol. Each request must hold the
    /// answers as they were sent, and each call with its result.
    pub const THINKING: [&str; 3] = ["scripted-chat", "scripted-responses", "scripted-anthropic"];

    pub async fn start() -> Self {
        let state = Arc::new(State {
            asked: Mutex::default(),
            failed: Mutex::default(),
            scripts: Mutex::default(),
            refused: Mutex::default(),
            measured: Mutex::default(),
            faults: Mutex::default(),
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
    /// where nothing listens. The others are [`Self::THINKING`].
    #[must_use]
    pub fn models_file(&self) -> String {
        models_file::models_file(self.address)
    }

    /// Answers prompts that contain this text by a script, for prompts that hold none themselves.
    pub fn script(&self, part_of_prompt: &str, steps: &Value) {
        lock(&self.state.scripts).push((part_of_prompt.to_owned(), steps.to_string()));
    }

    /// Refuses requests whose body has this member, in these words.
    pub fn refuse(&self, member: &str, words: &str) {
        lock(&self.state.refused).push((member.to_owned(), words.to_owned()));
    }

    /// The requests so far: the time of each, and its body.
    #[must_use]
    pub fn asked(&self) -> Vec<(Instant, Value)> {
        lock(&self.state.asked).iter().map(|(at, body)| (*at, (**body).clone())).collect()
    }

    /// The requests to one of the models that steps with `"usage": "measured"` answered.
    #[must_use]
    pub fn measured(&self, model: &str) -> Vec<MeasuredRequest> {
        lock(&self.state.measured).iter().filter(|request| request.model == model).cloned().collect()
    }

    /// What was wrong with the conversations that [`Self::THINKING`] refused.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        lock(&self.state.faults).clone()
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Response<Body> {
    let arrived = Instant::now();
    let protocol = Protocol::of(request.uri().path());
    let key = key(request.headers());
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = Arc::new(serde_json::from_slice::<Value>(&body).unwrap_or_default());
    lock(&state.asked).push((arrived, Arc::clone(&body)));
    let refusal = lock(&state.refused).iter().find(|(member, _)| body.get(member).is_some()).cloned();
    if let Some((_, words)) = refusal {
        return refuse(400, None, &words);
    }
    let conversation = Conversation::read(protocol, &body);
    let prompt = conversation.prompt();
    if let Some((_, status)) = prompt.split_once("STATUS-") {
        let status = status.get(..3).and_then(|status| status.parse().ok()).unwrap_or(500);
        let id = Some(("x-request-id", "req-7f3a".to_owned()));
        return refuse(status, id, &format!("scripted refusal of {key}"));
    }
    let script = script_for(&state, prompt);
    let steps = script.as_deref().map_or_else(|| vec![usual(prompt)], script::steps);
    if conversation.thinks()
        && let Some(fault) = conversation.fault(&steps)
    {
        lock(&state.faults).push(format!("{}: {fault}", conversation.model));
        return refuse(400, None, "the conversation is not one of this model");
    }
    match script {
        Some(script) => follow(&state, &conversation, &body, (&script, &steps)),
        None => say(state, &conversation, &steps[0]),
    }
}

fn key(headers: &HeaderMap) -> String {
    let value = |name: &str| headers.get(name).and_then(|key| key.to_str().ok());
    let key = value("authorization").or_else(|| value("x-api-key")).unwrap_or_default();
    key.trim_start_matches("Bearer ").to_owned()
}

fn refuse(status: u16, header: Option<(&str, String)>, message: &str) -> Response<Body> {
    let words = json!({"error": {"message": message}}).to_string();
    respond_with(status, "application/json", header, stream::iter([words]).boxed())
}

/// The step that answers a prompt without a script.
fn usual(prompt: &str) -> Value {
    let said: String = prompt.chars().take(60).collect();
    json!({"say": if prompt.contains("EMPTY") { String::new() } else { format!("You said: {said}") }})
}

fn say(state: Arc<State>, conversation: &Conversation, step: &Value) -> Response<Body> {
    let (before, after) = if conversation.protocol == Protocol::Chat && !conversation.thinks() {
        chat::halves_of(step["say"].as_str().unwrap_or_default())
    } else {
        let (answers, thinks) = (conversation.answers(), conversation.thinks());
        let answer = Answer::new(step, answers, thinks, Some(Tokens::usual()));
        let mut before = conversation.protocol.events(&answer);
        let after = before.split_off(before.len() / 2);
        (before, after)
    };
    let is = |word: &str| conversation.prompt().contains(word);
    let after = if is("CUT") { stream::empty().boxed() } else { stream::iter(after).boxed() };
    let waiting = stream::once(hold(state, is("HOLD")));
    respond(200, "text/event-stream", stream::iter(before).chain(waiting).chain(after).boxed())
}

fn script_for(state: &State, prompt: &str) -> Option<String> {
    if let Some((_, script)) = prompt.split_once("SCRIPT ") {
        return Some(script.to_owned());
    }
    lock(&state.scripts).iter().find(|(part, _)| prompt.contains(part)).map(|(_, script)| script.clone())
}

fn follow(
    state: &Arc<State>,
    conversation: &Conversation,
    body: &Value,
    (script, steps): (&str, &[Value]),
) -> Response<Body> {
    let answers = conversation.answers();
    let Some(step) = script::nth(steps, answers) else {
        return respond(200, "text/event-stream", stream::empty::<String>().boxed());
    };
    let tokens = Tokens::of(step, || measure(state, conversation, body));
    let events = match step["raw"].as_str() {
        Some(raw) => vec![raw.to_owned()],
        None => conversation.protocol.events(&Answer::new(step, answers, conversation.thinks(), tokens)),
    };
    let mut failed = lock(&state.failed);
    let already = failed.entry(format!("{} {answers} {script}", conversation.model)).or_default();
    let (events, stalls): (BoxStream<'static, String>, bool) = match script::delivery(step, *already, events)
    {
        Delivery::Refuse { status, retry_after } => {
            *already += 1;
            let retry_after = retry_after.map(|seconds| ("retry-after", seconds.to_string()));
            return refuse(status, retry_after, "scripted refusal");
        }
        Delivery::Broken(events) => {
            *already += 1;
            (stream::iter(events).boxed(), false)
        }
        Delivery::Stalled(events) => {
            *already += 1;
            (stream::iter(events).boxed(), true)
        }
        Delivery::Held(events) => {
            (stream::once(hold(Arc::clone(state), true)).chain(stream::iter(events)).boxed(), false)
        }
        Delivery::Late(milliseconds, events) => {
            let wait = async move {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                String::from(": at last\n\n")
            };
            (stream::once(wait).chain(stream::iter(events)).boxed(), false)
        }
        Delivery::Whole(events) => (stream::iter(events).boxed(), false),
    };
    let end = if stalls { stream::pending().boxed() } else { stream::empty().boxed() };
    respond(200, "text/event-stream", events.chain(end).boxed())
}

/// Compares the request with those before it.
fn measure(state: &State, conversation: &Conversation, body: &Value) -> Measure {
    let (protocol, prompt) = (conversation.protocol, conversation.prompt());
    let blocks = protocol.blocks(body);
    let mut request = MeasuredRequest::new(&conversation.model, prompt, conversation.answers(), &blocks);
    let mut earlier = lock(&state.measured);
    let measure = request.measure(&earlier, protocol.has_breakpoints());
    earlier.push(request);
    measure
}
