//! One step: warn the model if a limit is near, ask it, add its answer to the log. A request that fails is
//! repeated as long as the run's time allows. A partial answer is never recorded.

use rand::random;
use shared::queue::{ModelRequest, ModelWords};
use shared::runs::RunError;
use shared::runs::events::NoteKind;
use tokio::time::Instant;

use super::window::{self, Fitted};
use super::{Agent, Halt, events};
use crate::model::{Answer, ModelError, Offered, Outlet, Request, Words, wait_before_next};
use crate::tools::Tool;

/// The answer may have this many tokens even if the estimate leaves fewer.
const MIN_ANSWER_TOKENS: u32 = 16;
/// Requests for one answer, whatever their errors were.
const MAX_TRIES: u32 = 20;

pub(super) async fn ask(agent: &mut Agent<'_, '_>) -> Result<(), Halt> {
    let transcript = agent.log.transcript();
    if transcript.spent().steps() > 0
        && !transcript.has_note(&NoteKind::WrapUp)
        && let Some(warning) = agent.budget.warning(transcript.spent(), Instant::now())
    {
        agent.log.add(events::note(NoteKind::WrapUp, warning));
    }
    agent.log.record().await?;
    let traits = agent.model.traits();
    let fitted =
        window::fit(agent.log.transcript().messages(), traits.context_window, traits.max_output_tokens);
    let answer = ask_until_answered(agent, &fitted).await?;
    let event = events::answer(&answer, fitted.tokens);
    agent.log.add(event);
    Ok(())
}

async fn ask_until_answered(agent: &Agent<'_, '_>, fitted: &Fitted<'_>) -> Result<Answer, RunError> {
    let (deadline, spent) = (agent.budget.deadline(), agent.log.transcript().spent());
    let step = spent.steps() + 1;
    let (mut tries, mut alike, mut last) = (0, 0, None);
    loop {
        let asking = tokio::time::timeout_at(deadline, ask_once(agent, fitted, tries));
        let error = match asking.await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => return Err(agent.budget.out_of_time(spent)),
        };
        tries += 1;
        alike = if last == Some(error.code()) { alike + 1 } else { 1 };
        last = Some(error.code());
        let left = deadline.saturating_duration_since(Instant::now());
        let next = wait_before_next(&error, alike, left, random()).filter(|_| tries < MAX_TRIES);
        let Some(wait) = next else {
            let how_often = if tries > 1 { format!(" ({tries} tries)") } else { String::new() };
            return Err(RunError::new(error.code(), &format!("step {step}: {error}{how_often}"), Some(step)));
        };
        let (code, model) = (error.code().as_str(), agent.claimed.chat_model_id.clone());
        metrics::counter!("capi_model_retries_total", "model" => model, "code" => code).increment(1);
        tracing::warn!(code, step, tries, wait_ms = wait.as_millis(), "retrying the request to the model");
        tokio::time::sleep(wait).await;
    }
}

async fn ask_once(agent: &Agent<'_, '_>, fitted: &Fitted<'_>, tries: u32) -> Result<Answer, ModelError> {
    let specs = agent.context.tools.of(&agent.app.tools).all().map(Tool::spec);
    let tools: Vec<_> = specs
        .map(|spec| Offered { name: spec.name, description: spec.description, parameters: &spec.parameters })
        .collect();
    let takes_schema = agent.model.traits().json_schema;
    let sent = u32::try_from(fitted.tokens).unwrap_or(u32::MAX);
    let left = agent.budget.tokens_left(agent.log.transcript().spent()).saturating_sub(sent);
    let request = Request {
        messages: &fitted.messages,
        tools: &tools,
        schema: agent.app.output.as_ref().filter(|_| takes_schema).map(|output| &output.schema),
        max_tokens: fitted.answer.map_or(left, |most| most.min(left)).max(MIN_ANSWER_TOKENS),
    };
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
