//! One step: tells the model if a limit is near or used up, asks it, and adds its answer to the log. A
//! request that fails is repeated while the run's time allows. A partial answer is never recorded.

use model_client::{
    Answer, ModelError, Offered, Outlet, Request, ToolChoice, Words, overhead, wait_before_next,
};
use rand::random;
use shared::config::ModelSettings;
use shared::queue::{ModelRequest, ModelWords};
use shared::runs::RunError;
use shared::runs::events::NoteKind;
use tokio::time::Instant;

use super::final_answer::{self, FinalAnswer};
use super::transcript::Transcript;
use super::window::{self, Estimate, Fitted, Room};
use super::{Agent, Halt, closing, events};
use crate::tools::Tool;

/// The answer may have this many tokens even if the estimate leaves fewer.
const MIN_ANSWER_TOKENS: u32 = 16;
/// The tokens that the run has left are sent as a limit only below this number. Every model can write so
/// many.
const BUDGET_AS_LIMIT: u32 = 4096;
/// Requests for one answer, whatever their errors were.
const MAX_TRIES: u32 = 20;
/// A request is shortened so often before its refusal ends the run.
const MAX_SHORTENINGS: u32 = 2;
/// After a refusal for length without numbers, the request must shrink to this part.
const SHRINK_TO: (i64, i64) = (3, 5);

pub(super) async fn ask(agent: &mut Agent<'_, '_>) -> Result<(), Halt> {
    let has_final_answer = agent.app.output.is_some() && FinalAnswer::is_wanted(&agent.model.settings());
    let is_last = closing::add_note(agent, has_final_answer);
    let transcript = agent.log.transcript();
    if !is_last
        && transcript.spent().steps() > 0
        && !transcript.has_note(&NoteKind::WrapUp)
        && let Some(warning) = agent.budget.warning(transcript.spent(), Instant::now())
    {
        agent.log.add(events::note(NoteKind::WrapUp, warning));
    }
    agent.log.record().await?;
    let mut refused = std::mem::take(&mut agent.refused);
    let answered = ask_until_answered(agent, &mut refused).await;
    agent.refused = refused.for_the_next_answer();
    let (answer, sent) = answered?;
    agent.log.add(events::answer(&answer, sent));
    Ok(())
}

/// What the server's refusals for length taught this attempt.
#[derive(Default)]
pub(super) struct Refused {
    window: Option<u32>,
    estimate: Option<Estimate>,
    most: Option<i64>,
    /// The last refusal of the answer that is asked for, and what it refused.
    of: Option<(ModelError, events::Sent)>,
    /// Refusals of that answer.
    times: u32,
}

async fn ask_until_answered(
    agent: &Agent<'_, '_>,
    refused: &mut Refused,
) -> Result<(Answer, events::Sent), RunError> {
    let deadline = agent.budget.deadline();
    let step = agent.log.transcript().spent().steps() + 1;
    let (mut tries, mut alike, mut last) = (0, 0, None::<ModelError>);
    loop {
        let asking = tokio::time::timeout_at(deadline, ask_once(agent, refused, tries));
        let (error, sent) = match asking.await {
            Ok((Ok(answer), sent)) => return Ok((answer, sent)),
            Ok((Err(error), sent)) => (error, sent),
            Err(_) => return Err(out_of_time(agent, last.as_ref())),
        };
        tries += u32::from(sent.is_new);
        if sent.is_new && refused.learn(&error, sent) {
            tracing::warn!(step, "shortening the conversation after a refusal of its length");
            continue;
        }
        alike = if last.as_ref().is_some_and(|last| last.code() == error.code()) { alike + 1 } else { 1 };
        let left = deadline.saturating_duration_since(Instant::now());
        let next = wait_before_next(&error, alike, left, random()).filter(|_| tries < MAX_TRIES);
        let Some(wait) = next else {
            let how_often = if tries > 1 { format!(" ({tries} tries)") } else { String::new() };
            let message = format!("step {step}: {error}{how_often}");
            return Err(RunError::new(error.code(), &message, Some(step)).with_retryable(error.retryable()));
        };
        let (code, model) = (error.code().as_str(), agent.claimed.chat_model_id.clone());
        metrics::counter!("capi_model_retries_total", "model" => model.clone(), "code" => code).increment(1);
        tracing::warn!(
            model,
            code,
            step,
            tries,
            wait_ms = wait.as_millis(),
            "retrying the request to the model"
        );
        last = Some(error);
        tokio::time::sleep(wait).await;
    }
}

/// The error of a run whose time ended during a request. It quotes the last failed try.
fn out_of_time(agent: &Agent<'_, '_>, last: Option<&ModelError>) -> RunError {
    let error = agent.budget.out_of_time(agent.log.transcript().spent());
    match last {
        None => error,
        Some(last) => {
            RunError::new(error.code, &format!("{}; the last try: {last}", &*error.message), error.step)
        }
    }
}

impl Refused {
    /// Returns true if a shorter request may succeed: after a refusal for length.
    fn learn(&mut self, error: &ModelError, sent: events::Sent) -> bool {
        let ModelError::ContextLength { window, requested, .. } = error else { return false };
        if self.times >= MAX_SHORTENINGS {
            return false;
        }
        self.times += 1;
        self.of = Some((error.clone(), sent));
        self.window = window.or(self.window);
        let bytes = i64::try_from(sent.bytes).unwrap_or(i64::MAX);
        let answer = i64::from(sent.max_tokens.unwrap_or(0));
        let exceeds = |tokens: i64| window.is_none_or(|window| tokens > window.into());
        // A number below the window counts only a part, and one that is mostly the answer counts both.
        match requested.filter(|tokens| *tokens > 0 && exceeds(*tokens)) {
            Some(tokens) => {
                let input = if answer >= tokens / 2 { (tokens - answer).max(1) } else { tokens };
                self.estimate = Some(Estimate::default().with_count(input, bytes));
            }
            // With the window, the request gets shorter anyway.
            None if window.is_some() && exceeds(sent.tokens.saturating_add(answer)) => {}
            None => self.most = Some(sent.tokens.saturating_mul(SHRINK_TO.0) / SHRINK_TO.1),
        }
        true
    }

    /// The server's next count says more than the estimate. The rest stays true.
    fn for_the_next_answer(self) -> Self {
        let most = self.most.filter(|_| self.window.is_none());
        Self { window: self.window, most, ..Self::default() }
    }
}

/// After a repair note, the schema is sent without tools if the server does not take both.
pub(super) fn is_without_tools(transcript: &Transcript, settings: &ModelSettings) -> bool {
    transcript.has_note(&NoteKind::Repair) && settings.sends_schema(false) && !settings.sends_schema(true)
}

/// Returns the answer, and what was sent for it.
async fn ask_once(
    agent: &Agent<'_, '_>,
    refused: &Refused,
    tries: u32,
) -> (Result<Answer, ModelError>, events::Sent) {
    let transcript = agent.log.transcript();
    let settings = agent.model.settings();
    let schema = agent.app.output.as_ref().map(|output| &output.schema);
    let final_answer = schema.and_then(|schema| FinalAnswer::of(schema, &settings));
    let without_tools = is_without_tools(transcript, &settings);
    let specs = agent.context.tools.of(&agent.app.tools).all().map(Tool::spec);
    let mut tools: Vec<_> = specs
        .filter(|_| !without_tools)
        .map(|spec| Offered { name: spec.name, description: &spec.description, parameters: &spec.parameters })
        .chain(final_answer.as_ref().map(FinalAnswer::offered))
        .collect();
    tools.sort_by_key(|tool| tool.name);
    let sent_schema = schema.filter(|_| settings.sends_schema(!tools.is_empty()));
    let room = Room {
        window: agent.model.window().into_iter().chain(refused.window).min(),
        max_output_tokens: settings.max_output_tokens,
        returns_reasoning: settings.returns_reasoning,
        overhead: overhead(&tools, sent_schema),
        estimate: refused.estimate.unwrap_or(*transcript.estimate()),
        most: refused.most,
    };
    let fitted = window::fit(transcript.messages(), &room);
    let max_tokens = max_tokens(agent, &fitted);
    let sent = events::Sent { bytes: fitted.bytes, tokens: fitted.tokens, max_tokens, is_new: true };
    if let Some((error, before)) = &refused.of
        && (before.bytes, before.max_tokens) == (sent.bytes, sent.max_tokens)
    {
        return (Err(error.clone()), events::Sent { is_new: false, ..sent });
    }
    let is_last = closing::UsedUp::of(transcript).is_some();
    // A final answer that is a call cannot be switched off.
    let tool_choice = if is_last && final_answer.is_none() { ToolChoice::None } else { ToolChoice::Auto };
    let messages = &fitted.messages;
    let request = Request { messages, tools: &tools, schema: sent_schema, max_tokens, tool_choice };
    let answer = send(agent, request, tries).await;
    let is_data = |written: &str| transcript.has_native_calls() || transcript.has_read(written);
    let answer =
        answer.map(|answer| final_answer::read(answer, &tools, (final_answer.as_ref(), is_last), is_data));
    let is_empty = |answer: &Answer| answer.text.trim().is_empty() && answer.calls.is_empty();
    let answer = match answer {
        // An answer that was cut before its first word is recorded: its finish reason names the limit.
        Ok(answer) if is_empty(&answer) && !super::transcript::is_incomplete(&answer.finish_reason) => {
            if transcript.has_something_to_show() {
                Ok(answer)
            } else {
                let what = if answer.reasoning.is_some() { "it holds only reasoning" } else { "it is empty" };
                let why = format!("{what} (finish reason {:?})", answer.finish_reason);
                Err(ModelError::Unusable(why))
            }
        }
        answer => answer,
    };
    (answer, sent)
}

/// The most tokens of the answer, where a limit is known.
fn max_tokens(agent: &Agent<'_, '_>, fitted: &Fitted<'_>) -> Option<u32> {
    let input = u32::try_from(fitted.tokens).unwrap_or(u32::MAX);
    let left = agent.budget.tokens_left(agent.log.transcript().spent());
    let left = left.saturating_sub(input).max(MIN_ANSWER_TOKENS);
    match fitted.answer {
        Some(most) => Some(most.min(left)),
        None => Some(left).filter(|left| *left < BUDGET_AS_LIMIT),
    }
}

async fn send(agent: &Agent<'_, '_>, request: Request<'_>, tries: u32) -> Result<Answer, ModelError> {
    let streams = Streams {
        agent,
        step: agent.log.transcript().spent().steps() + 1,
        request: ModelRequest { seq: agent.log.next_seq(), attempt: agent.claimed.attempt, tries },
    };
    agent.model.ask(request, Words::new(&streams)).await
}

/// The streams that show the answer as it arrives.
struct Streams<'s, 'a, 'l> {
    agent: &'s Agent<'a, 'l>,
    step: i32,
    request: ModelRequest,
}

impl Outlet for Streams<'_, '_, '_> {
    fn is_watched(&self) -> bool {
        self.agent.context.leases.watched.wants_words(self.agent.claimed.id)
    }

    fn send(&self, text: String) {
        let Self { agent, step, request } = *self;
        agent.context.publisher.send_words(ModelWords { run: agent.claimed.id, request, step, text });
    }
}
