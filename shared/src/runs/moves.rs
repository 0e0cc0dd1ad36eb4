//! The moves that a run can make, written down once. The statements take from here what they may move away from, the
//! documentation shows the same table, and a test makes every cause try every state on the real database.

use super::state::RunStatus;
use RunStatus::{Cancelled, Completed, Failed, Pending, Running};

/// Who moves a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A worker takes a pending run.
    Claim,
    /// A worker takes a run whose lease expired or was given back.
    TakeOver,
    /// The worker that holds it ends it.
    Finish,
    /// Its owner ends it.
    Cancel,
    /// A gateway ends it, because nobody began it in time.
    Expire,
}

impl Cause {
    /// All.
    pub const ALL: [Self; 5] = [Self::Claim, Self::TakeOver, Self::Finish, Self::Cancel, Self::Expire];

    /// As the documentation calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::TakeOver => "takeover (attempt + 1)",
            Self::Finish => "finish",
            Self::Cancel => "cancel",
            Self::Expire => "queue timeout",
        }
    }

    /// The states it may move a run away from, as they are stored.
    #[must_use]
    pub fn moves_from(self) -> Vec<&'static str> {
        let can = |from: &RunStatus| MOVES.iter().any(|(start, cause, _)| start == from && *cause == self);
        RunStatus::ALL.into_iter().filter(can).map(RunStatus::as_str).collect()
    }
}

/// From, by, to: all there are.
pub const MOVES: [(RunStatus, Cause, RunStatus); 7] = [
    (Pending, Cause::Claim, Running),
    (Pending, Cause::Expire, Failed),
    (Pending, Cause::Cancel, Cancelled),
    (Running, Cause::TakeOver, Running),
    (Running, Cause::Finish, Completed),
    (Running, Cause::Finish, Failed),
    (Running, Cause::Cancel, Cancelled),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// As docs/ARCHITECTURE.md shows it.
    fn table() -> String {
        let columns = [Running, Completed, Failed, Cancelled];
        let mut lines = vec![
            format!("| from \\ to | {} |", columns.map(RunStatus::as_str).join(" | ")),
            "| --- ".repeat(columns.len() + 1) + "|",
        ];
        for from in RunStatus::ALL {
            let cells = columns.map(|to| {
                let found = MOVES.iter().find(|(start, _, end)| *start == from && *end == to);
                found.map_or("", |(_, cause, _)| cause.as_str())
            });
            lines.push(format!("| {} | {} |", from.as_str(), cells.join(" | ")));
        }
        lines.join("\n")
    }

    #[test]
    fn the_documentation_shows_the_same_table() {
        let table = table();
        assert!(include_str!("../../../docs/ARCHITECTURE.md").contains(&table), "it must hold:\n{table}");
    }

    #[test]
    fn final_states_stay_and_nothing_becomes_pending() {
        for from in RunStatus::ALL {
            assert_eq!(MOVES.iter().any(|(start, ..)| *start == from), !from.is_over(), "{from:?}");
        }
        assert!(MOVES.iter().all(|(from, _, to)| to >= from), "a status never goes backwards");
    }
}
