//! Checks the tokens that a server counted.

use super::Counted;

/// No request has more tokens. A larger count is a fault of the server, which must not end a run.
const MAX_TOKENS: i64 = 20_000_000;

/// The counts that the server sent so far. The others are `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: Option<i64>,
    pub(crate) output: Option<i64>,
    pub(crate) total: Option<i64>,
    pub(crate) cached_input: Option<i64>,
    pub(crate) reasoning: Option<i64>,
}

impl Usage {
    /// Takes the counts of a later event of the answer.
    pub(crate) fn update(&mut self, later: Self) {
        self.input = later.input.or(self.input);
        self.output = later.output.or(self.output);
        self.total = later.total.or(self.total);
        self.cached_input = later.cached_input.or(self.cached_input);
        self.reasoning = later.reasoning.or(self.reasoning);
    }

    /// `None` if the server did not count, or if its counts are not plausible. Some servers count the
    /// reasoning in the total, but not in the output.
    pub(crate) fn counted(self) -> Option<Counted> {
        let plausible = |tokens: &i64| (0..=MAX_TOKENS).contains(tokens);
        let all = [self.input, self.output, self.total, self.cached_input, self.reasoning];
        if all.iter().flatten().any(|tokens| *tokens > MAX_TOKENS) {
            tracing::warn!(
                input = self.input,
                output = self.output,
                total = self.total,
                "ignored token counts of the model's server: a request cannot have so many tokens"
            );
            return None;
        }
        let input = self.input.filter(plausible)?;
        let said = self.output.filter(plausible)?;
        let output = self.total.filter(plausible).map_or(said, |total| said.max(total - input));
        let hidden = (output > said).then_some(output - said);
        Some(Counted {
            input,
            output,
            cached_input: self.cached_input.filter(plausible).map(|cached| cached.min(input)),
            reasoning: self.reasoning.filter(plausible).or(hidden).map(|reasoning| reasoning.min(output)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_made_plausible() {
        let usage = |input, output, total| Usage { input, output, total, ..Usage::default() };
        let counted = |usage: Usage| usage.counted().map(|c| (c.input, c.output, c.reasoning));
        assert_eq!(counted(usage(Some(3), Some(2), Some(5))), Some((3, 2, None)));
        assert_eq!(counted(usage(Some(10), Some(5), Some(100_015))), Some((10, 100_005, Some(100_000))));
        assert_eq!(counted(usage(Some(3), Some(2), Some(1))), Some((3, 2, None)));
        assert_eq!(counted(usage(Some(i64::MAX), Some(2), None)), None);
        assert_eq!(counted(usage(Some(-1), Some(2), None)), None);
        assert_eq!(counted(usage(None, Some(2), None)), None);
    }
}
