//! The last answer of a run. When a limit is used up, a note says so once, and the model is asked without
//! calls. The note is in the log, so a takeover does the same. Within all limits the answer is the result;
//! otherwise it is the partial result of a run that fails.

use model_client::Message;
use shared::limits::Limits;
use shared::runs::events::{EventData, NoteKind};
use shared::runs::{ErrorCode, RunError};
use tokio::time::Instant;

use super::transcript::{OpenCall, Transcript};
use super::{Agent, call, events, over_quota};

/// The limit for which the next answer is the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsedUp {
    Steps,
    ToolCalls,
    Tokens,
    Time,
    Output,
    /// The workspace stayed over its limit.
    Room,
}

impl UsedUp {
    const ALL: [Self; 6] = [Self::Steps, Self::ToolCalls, Self::Tokens, Self::Time, Self::Output, Self::Room];

    /// The limit of the note, once the log has it.
    pub(super) fn of(transcript: &Transcript) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| transcript.has_note(&limit.kind()))
    }

    const fn kind(self) -> NoteKind {
        match self {
            Self::Steps => NoteKind::LastStep,
            Self::ToolCalls => NoteKind::NoToolCallsLeft,
            Self::Tokens => NoteKind::NoTokensLeft,
            Self::Time => NoteKind::NoTimeLeft,
            Self::Output => NoteKind::NoOutputLeft,
            Self::Room => NoteKind::NoRoomLeft,
        }
    }

    const fn code(self) -> ErrorCode {
        match self {
            Self::Steps => ErrorCode::StepLimitExceeded,
            Self::ToolCalls => ErrorCode::ToolCallLimitExceeded,
            Self::Tokens => ErrorCode::TokenLimitExceeded,
            Self::Time => ErrorCode::TimeLimitExceeded,
            Self::Output => ErrorCode::OutputLimitExceeded,
            Self::Room => ErrorCode::WorkspaceLimitExceeded,
        }
    }

    /// The limit of an error.
    fn of_code(code: ErrorCode) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.code() == code)
    }

    /// In app files.
    const fn setting(self) -> &'static str {
        match self {
            Self::Steps => "limits.steps",
            Self::ToolCalls => "limits.tool_calls",
            Self::Tokens => "limits.tokens",
            Self::Time => "limits.seconds",
            Self::Output => "limits.output_bytes",
            Self::Room => "limits.workspace_bytes",
        }
    }

    /// What is used up, for the model.
    fn what(self, limits: &Limits, seconds_left: u64) -> String {
        let Limits { steps, seconds, tokens, tool_calls, output_bytes, workspace_bytes } = *limits;
        match self {
            Self::Steps => format!("This is the last of your {steps} steps."),
            Self::ToolCalls => format!("You have no more tool calls: the limit is {tool_calls}."),
            Self::Tokens => {
                format!("The {tokens} tokens of this run are nearly used up: they allow one more answer.")
            }
            Self::Time => format!("{seconds_left} of {seconds} seconds are left."),
            Self::Output => format!("The {output_bytes} bytes of output of this run are nearly used up."),
            Self::Room => {
                format!("The workspace stayed over its limit of {workspace_bytes} bytes.")
            }
        }
    }

    /// The result of a call that is not made.
    fn not_made(self, limits: &Limits, seconds_left: u64) -> String {
        format!("This call was not made. {}", self.what(limits, seconds_left))
    }

    /// The error of a run whose model called tools in its last answer.
    pub(super) fn ignored(self, step: i32) -> RunError {
        let message = format!(
            "step {step}: the model called tools in its last answer, when they were switched off; raise {}",
            self.setting()
        );
        RunError::new(self.code(), &message, Some(step))
    }
}

const FINISH: &str = "Tools are switched off now. Give your final answer with what you have, and say what is \
                      missing.";
/// For models that give the final answer with a tool.
const FINISH_WITH_TOOL: &str = "All tools but final_answer are switched off now. Call final_answer with what \
                                you have.";

/// Adds the note if the next answer must be the last one. An app without tools needs none: each answer could
/// be the last. Returns whether there is such a note.
pub(super) fn add_note(agent: &mut Agent<'_, '_>, has_final_answer: bool) -> bool {
    if UsedUp::of(agent.log.transcript()).is_some() {
        return true;
    }
    let now = Instant::now();
    let Some(limit) = limit_of(agent, now).filter(|_| !agent.app.tools.is_empty()) else { return false };
    let finish = if has_final_answer { FINISH_WITH_TOOL } else { FINISH };
    let what = limit.what(agent.budget.limits(), agent.budget.seconds_left(now));
    tracing::info!(limit = limit.setting(), "asking the model for its last answer");
    metrics::counter!("capi_last_answers_total", "limit" => limit.setting()).increment(1);
    agent.log.add(events::note(limit.kind(), format!("{what} {finish}")));
    true
}

fn limit_of(agent: &Agent<'_, '_>, now: Instant) -> Option<UsedUp> {
    // The run fails with this error, so the note names the same limit.
    if let Some(exceeded) = agent.exceeded() {
        return UsedUp::of_code(exceeded.code);
    }
    let transcript = agent.log.transcript();
    let returns_reasoning = agent.model.settings().returns_reasoning;
    let messages = transcript.messages();
    let last = messages.iter().rposition(|message| matches!(message, Message::Assistant { .. }));
    let new = last.map_or(&[][..], |last| &messages[last..]);
    let bytes = new.iter().map(|message| message.bytes_sent(returns_reasoning)).sum();
    agent.budget.used_up(transcript.spent(), transcript.estimate().added(bytes), now)
}

impl Agent<'_, '_> {
    /// The error of a run that exceeded a limit.
    pub(super) fn exceeded(&self) -> Option<RunError> {
        let transcript = self.log.transcript();
        let by_budget = self.budget.exceeded(transcript.spent());
        by_budget.or_else(|| {
            let is_final = transcript.over_quota().is_final();
            is_final.then(|| over_quota::error(self.budget.limits(), transcript.spent().steps()))
        })
    }

    /// Makes the open calls, or refuses them where a limit is used up.
    pub(super) async fn call_or_refuse(&mut self, exceeded: Option<RunError>) -> Result<(), super::Halt> {
        let transcript = self.log.transcript();
        let spent = transcript.spent();
        if let Some(limit) = UsedUp::of(transcript) {
            let error = exceeded.or_else(|| self.budget.exhausted(spent));
            return Err(error.unwrap_or_else(|| limit.ignored(spent.steps())).into());
        }
        let now = Instant::now();
        if let Some(error) = exceeded {
            if self.budget.exhausted(spent).is_some() {
                return Err(error.into());
            }
            let limit = limit_of(self, now).unwrap_or(UsedUp::Output);
            self.refuse_calls(limit, now);
            return Ok(());
        }
        if now >= self.budget.calls_end() {
            self.refuse_calls(UsedUp::Time, now);
            return Ok(());
        }
        call::call_tools(self).await
    }

    /// Gives all open calls a result that says why they are not made.
    fn refuse_calls(&mut self, limit: UsedUp, now: Instant) {
        let open: Vec<OpenCall> = self.log.transcript().open().iter().cloned().collect();
        let why = limit.not_made(self.budget.limits(), self.budget.seconds_left(now));
        let tools = self.context.tools.of(&self.app.tools);
        let results = open.iter().map(|open| {
            let unknown = open.intended && !call::is_repeatable(&open.call, tools);
            let why = if unknown { call::UNKNOWN_OUTCOME } else { why.as_str() };
            EventData::ToolResult(events::tool_result(&open.call, why.to_owned(), true))
        });
        for result in results.collect::<Vec<_>>() {
            self.log.add(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_in_the_log_says_which_limit_is_used_up() {
        for limit in UsedUp::ALL {
            let mut transcript = Transcript::default();
            transcript.apply(&events::note(NoteKind::WrapUp, "Soon.".to_owned()));
            assert_eq!(UsedUp::of(&transcript), None);
            transcript.apply(&events::note(limit.kind(), limit.what(&Limits::default(), 7)));
            assert_eq!(UsedUp::of(&transcript), Some(limit));
            assert_eq!(UsedUp::of_code(limit.code()), Some(limit));
            let error = limit.ignored(3);
            assert!(error.message.starts_with("step 3: ") && error.message.contains(limit.setting()));
        }
        assert!(UsedUp::Time.not_made(&Limits::default(), 7).contains("7 of 600 seconds are left"));
    }
}
