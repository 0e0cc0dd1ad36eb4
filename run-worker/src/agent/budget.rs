//! The limits of a run, and the errors of a run that reaches one. Pure: the time comes in as an argument.

use std::time::Duration;

use shared::limits::Limits;
use shared::runs::events::StepUsage;
use shared::runs::{ErrorCode, RunError};
use tokio::time::Instant;

use super::closing::UsedUp;

/// At this share of a limit the model is warned.
const WARN_AT: f64 = 0.8;
/// This part of the run's time stays for the last answer: calls end before it. A model on a slow machine
/// needs more than the shortest, and no model needs more than the longest.
const LAST_ANSWER_PART: u32 = 10;
const SHORTEST_LAST_ANSWER: Duration = Duration::from_secs(5);
const LONGEST_LAST_ANSWER: Duration = Duration::from_mins(1);
/// It never takes more than this part of a short run.
const MOST_LAST_ANSWER_PART: u32 = 4;
/// The least tokens for the last answer itself; fewer in a run with a low limit.
const LAST_ANSWER_TOKENS: u64 = 1000;
const LAST_ANSWER_TOKENS_PART: u64 = 10;
/// This part of the output stays for the last answer.
const LAST_ANSWER_OUTPUT_PART: u64 = 20;

/// What a run has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    steps: u32,
    tool_calls: u32,
    tokens: u64,
    output_bytes: u64,
    /// Input tokens of the last step.
    last_input: u64,
}

impl Spent {
    /// Adds one answer.
    pub(super) fn add_step(&mut self, usage: &StepUsage, calls: usize) {
        self.steps += 1;
        self.last_input = u64::try_from(usage.input_tokens).unwrap_or(0);
        self.tool_calls = self.tool_calls.saturating_add(u32::try_from(calls).unwrap_or(u32::MAX));
        for tokens in [usage.input_tokens, usage.output_tokens] {
            self.tokens = self.tokens.saturating_add(u64::try_from(tokens).unwrap_or(0));
        }
    }

    /// Adds bytes that the run produced.
    pub(super) fn add_output(&mut self, bytes: u64) {
        self.output_bytes = self.output_bytes.saturating_add(bytes);
    }

    #[must_use]
    pub(super) fn steps(&self) -> i32 {
        i32::try_from(self.steps).unwrap_or(i32::MAX)
    }
}

/// The limits of one run, with its deadline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    limits: Limits,
    begun: Instant,
    deadline: Instant,
}

impl Budget {
    /// `seconds_used` is the run's time up to `now`, over all attempts.
    #[must_use]
    pub(super) fn new(limits: Limits, seconds_used: f64, now: Instant) -> Self {
        let whole = Duration::from_secs(limits.seconds.into());
        let used = Duration::try_from_secs_f64(seconds_used.max(0.0)).unwrap_or(whole).min(whole);
        let begun = now.checked_sub(used).unwrap_or(now);
        Self { limits, begun, deadline: now + whole.saturating_sub(used) }
    }

    #[must_use]
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    #[must_use]
    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The whole seconds that the run has left.
    #[must_use]
    pub(super) fn seconds_left(&self, now: Instant) -> u64 {
        self.deadline.saturating_duration_since(now).as_secs()
    }

    /// The time that stays for the last answer.
    fn last_answer_time(&self) -> Duration {
        let whole = Duration::from_secs(self.limits.seconds.into());
        let part = (whole / LAST_ANSWER_PART).clamp(SHORTEST_LAST_ANSWER, LONGEST_LAST_ANSWER);
        part.min(whole / MOST_LAST_ANSWER_PART)
    }

    /// Commands end by then, and no call begins later.
    #[must_use]
    pub(super) fn calls_end(&self) -> Instant {
        self.deadline.checked_sub(self.last_answer_time()).unwrap_or(self.begun)
    }

    /// A call that has not returned by then is ended. A command needs some time to end and to be recorded.
    #[must_use]
    pub(super) fn calls_cut(&self) -> Instant {
        self.deadline.checked_sub(self.last_answer_time() / 2).unwrap_or(self.begun)
    }

    /// The limit for which the next answer must be the last one. The conversation got about `added` tokens
    /// since the last request.
    #[must_use]
    pub(super) fn used_up(&self, spent: &Spent, added: u64, now: Instant) -> Option<UsedUp> {
        let Limits { steps, seconds: _, tokens, tool_calls, output_bytes, workspace_bytes: _ } = self.limits;
        if spent.steps.saturating_add(1) >= steps {
            return Some(UsedUp::Steps);
        }
        // Nothing is known about a run before its first answer.
        if spent.steps == 0 {
            return None;
        }
        // A request after the next one is at least as long as that.
        let next = spent.last_input.saturating_add(added);
        let answer = LAST_ANSWER_TOKENS.min(u64::from(tokens) / LAST_ANSWER_TOKENS_PART);
        let for_two = next.saturating_mul(2).saturating_add(answer);
        if spent.tool_calls >= tool_calls {
            Some(UsedUp::ToolCalls)
        } else if u64::from(tokens).saturating_sub(spent.tokens) < for_two {
            Some(UsedUp::Tokens)
        } else if now >= self.calls_end() {
            Some(UsedUp::Time)
        } else if self.output_left(spent) < u64::from(output_bytes) / LAST_ANSWER_OUTPUT_PART {
            Some(UsedUp::Output)
        } else {
            None
        }
    }

    #[must_use]
    pub(super) fn tokens_left(&self, spent: &Spent) -> u32 {
        let left = u64::from(self.limits.tokens).saturating_sub(spent.tokens);
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    #[must_use]
    pub(super) fn output_left(&self, spent: &Spent) -> u64 {
        u64::from(self.limits.output_bytes).saturating_sub(spent.output_bytes)
    }

    /// The error of a run that reached its deadline.
    #[must_use]
    pub(super) fn out_of_time(&self, spent: &Spent) -> RunError {
        let what = format!("the run used all of its {} seconds; raise limits.seconds", self.limits.seconds);
        exceeded(ErrorCode::TimeLimitExceeded, spent, &what)
    }

    /// The error of a run that exceeded a limit.
    #[must_use]
    pub(super) fn exceeded(&self, spent: &Spent) -> Option<RunError> {
        // Without `..`: a new limit does not compile before this function, or another one, enforces it.
        let Limits { steps: _, seconds: _, tokens, tool_calls, output_bytes, workspace_bytes: _ } =
            self.limits;
        let (code, what) = if spent.tokens > tokens.into() {
            let what = format!("the model used {} tokens of {tokens}; raise limits.tokens", spent.tokens);
            (ErrorCode::TokenLimitExceeded, what)
        } else if spent.tool_calls > tool_calls {
            let what =
                format!("the model requested more than {tool_calls} tool calls; raise limits.tool_calls");
            (ErrorCode::ToolCallLimitExceeded, what)
        } else if spent.output_bytes > output_bytes.into() {
            let what = format!(
                "the run produced {} bytes of {output_bytes}; raise limits.output_bytes",
                spent.output_bytes
            );
            (ErrorCode::OutputLimitExceeded, what)
        } else {
            return None;
        };
        Some(exceeded(code, spent, &what))
    }

    /// The error of a run that has nothing left for another answer.
    #[must_use]
    pub(super) fn exhausted(&self, spent: &Spent) -> Option<RunError> {
        let Limits { steps, tokens, .. } = self.limits;
        if spent.steps >= steps {
            let what = format!("the model was not done after {steps} step(s); raise limits.steps");
            Some(exceeded(ErrorCode::StepLimitExceeded, spent, &what))
        } else if spent.tokens >= tokens.into() {
            let what = format!("the model used all {tokens} tokens; raise limits.tokens");
            Some(exceeded(ErrorCode::TokenLimitExceeded, spent, &what))
        } else {
            None
        }
    }

    /// A message for the model if a limit is near: which limit, and what is left of it.
    #[must_use]
    pub(super) fn warning(&self, spent: &Spent, now: Instant) -> Option<String> {
        let limits = self.limits;
        let seconds = u64::from(limits.seconds);
        let shares: [(&str, u64, u64); 5] = [
            ("steps", spent.steps.into(), limits.steps.into()),
            ("tool calls", spent.tool_calls.into(), limits.tool_calls.into()),
            ("tokens", spent.tokens, limits.tokens.into()),
            ("seconds", now.duration_since(self.begun).as_secs().min(seconds), seconds),
            ("bytes of output", spent.output_bytes, limits.output_bytes.into()),
        ];
        let near = shares.into_iter().find(|(what, used, limit)| {
            let last_step = *what == "steps" && used + 1 == *limit;
            #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
            let share = *used as f64 / (*limit).max(1) as f64;
            last_step || share >= WARN_AT
        });
        near.map(|(what, used, limit)| {
            format!(
                "{} of {limit} {what} are left. Finish now: give your final answer with what you have.",
                limit.saturating_sub(used)
            )
        })
    }
}

fn exceeded(code: ErrorCode, spent: &Spent, what: &str) -> RunError {
    RunError::new(code, &format!("step {}: {what}", spent.steps().max(1)), Some(spent.steps().max(1)))
}

#[cfg(test)]
mod tests;
