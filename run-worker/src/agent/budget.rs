//! The limits of a run, and the errors of a run that reaches one. Pure: the time comes in as an argument.

use std::time::Duration;

use shared::limits::Limits;
use shared::runs::events::StepUsage;
use shared::runs::{ErrorCode, RunError};
use tokio::time::Instant;

/// At this share of a limit the model is warned.
const WARN_AT: f64 = 0.8;

/// What a run has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    steps: u32,
    tool_calls: u32,
    tokens: u64,
    output_bytes: u64,
}

impl Spent {
    /// Adds one answer.
    pub(super) fn add_step(&mut self, usage: &StepUsage, calls: usize) {
        self.steps += 1;
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
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        steps: 10,
        seconds: 100,
        tokens: 1000,
        tool_calls: 5,
        output_bytes: 500,
        workspace_bytes: 1,
    };

    fn spent(steps: u32, tool_calls: u32, tokens: u64, output_bytes: u64) -> Spent {
        Spent { steps, tool_calls, tokens, output_bytes }
    }

    #[test]
    fn each_limit_has_its_own_end() {
        let budget = Budget::new(LIMITS, 0.0, Instant::now());
        let code = |error: Option<RunError>| error.map_or("", |error| error.code.as_str());
        assert_eq!(code(budget.exceeded(&spent(10, 5, 1000, 500))), "", "up to the limit is within it");
        assert_eq!(code(budget.exceeded(&spent(1, 6, 0, 0))), "tool_call_limit_exceeded");
        assert_eq!(code(budget.exceeded(&spent(1, 0, 1001, 0))), "token_limit_exceeded");
        assert_eq!(code(budget.exceeded(&spent(1, 0, 0, 501))), "output_limit_exceeded");
        assert_eq!(code(budget.exhausted(&spent(9, 5, 999, 500))), "");
        assert_eq!(code(budget.exhausted(&spent(10, 0, 0, 0))), "step_limit_exceeded");
        assert_eq!(code(budget.exhausted(&spent(1, 0, 1000, 0))), "token_limit_exceeded");
        assert_eq!(budget.tokens_left(&spent(1, 0, 400, 0)), 600);
        assert_eq!(budget.out_of_time(&Spent::default()).step, Some(1));
    }

    #[test]
    fn the_model_is_warned_at_four_fifths_and_before_the_last_step() {
        let now = Instant::now();
        let warning = |limits, spent, used| Budget::new(limits, used, now).warning(&spent, now);
        assert_eq!(warning(LIMITS, spent(7, 3, 799, 399), 79.0), None);
        for (near, what) in [
            (spent(8, 0, 0, 0), "2 of 10 steps"),
            (spent(1, 4, 0, 0), "1 of 5 tool calls"),
            (spent(1, 0, 800, 0), "200 of 1000 tokens"),
            (spent(1, 0, 0, 400), "100 of 500 bytes"),
        ] {
            assert!(warning(LIMITS, near, 0.0).unwrap().starts_with(what), "{what}");
        }
        assert!(warning(LIMITS, spent(1, 0, 0, 0), 80.0).unwrap().starts_with("20 of 100 seconds"));
        assert!(warning(Limits { steps: 2, ..LIMITS }, spent(1, 0, 0, 0), 0.0).is_some());
    }

    #[test]
    fn tokens_and_time_add_up_over_attempts() {
        let mut spent = Spent::default();
        let usage =
            |input_tokens, output_tokens| StepUsage { input_tokens, output_tokens, ..StepUsage::default() };
        spent.add_step(&usage(3, 4), 2);
        spent.add_step(&usage(-3, 0), 1);
        assert_eq!(spent, Spent { steps: 2, tool_calls: 3, tokens: 7, output_bytes: 0 });
        let now = Instant::now();
        assert_eq!(Budget::new(LIMITS, 30.0, now).deadline(), now + Duration::from_secs(70));
        for used in [1e300, f64::NAN, 101.0] {
            assert!(Budget::new(LIMITS, used, now).deadline() <= now + Duration::from_secs(100), "{used}");
        }
    }
}
