//! The table of all transitions of a run. The statements take the allowed start states from it, and the
//! documentation shows it. A test tries every transition from every state on the real database.

use super::state::RunStatus;
use RunStatus::{Cancelled, Completed, Failed, Pending, Running};

/// What changes the status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// A worker claims a pending run.
    Claim,
    /// A worker takes over a run whose lease expired or was given back.
    TakeOver,
    /// The worker that holds the run completes or fails it.
    Finish,
    /// The owner cancels the run.
    Cancel,
    /// A gateway fails the run, because no worker claimed it within its queue timeout.
    Expire,
}

impl Transition {
    pub const ALL: [Self; 5] = [Self::Claim, Self::TakeOver, Self::Finish, Self::Cancel, Self::Expire];

    /// The name in docs/ARCHITECTURE.md.
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

    /// The start states of this transition, as they are stored.
    #[must_use]
    pub fn allowed_from(self) -> Vec<&'static str> {
        let can = |from: &RunStatus| {
            TRANSITIONS.iter().any(|(start, transition, _)| start == from && *transition == self)
        };
        RunStatus::ALL.into_iter().filter(can).map(RunStatus::as_str).collect()
    }
}

/// Start state, transition, end state.
pub const TRANSITIONS: [(RunStatus, Transition, RunStatus); 7] = [
    (Pending, Transition::Claim, Running),
    (Pending, Transition::Expire, Failed),
    (Pending, Transition::Cancel, Cancelled),
    (Running, Transition::TakeOver, Running),
    (Running, Transition::Finish, Completed),
    (Running, Transition::Finish, Failed),
    (Running, Transition::Cancel, Cancelled),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The Markdown table of docs/ARCHITECTURE.md.
    fn table() -> String {
        let columns = [Running, Completed, Failed, Cancelled];
        let mut lines = vec![
            format!("| from \\ to | {} |", columns.map(RunStatus::as_str).join(" | ")),
            "| --- ".repeat(columns.len() + 1) + "|",
        ];
        for from in RunStatus::ALL {
            let cells = columns.map(|to| {
                let found = TRANSITIONS.iter().find(|(start, _, end)| *start == from && *end == to);
                found.map_or("", |(_, transition, _)| transition.as_str())
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
            assert_eq!(TRANSITIONS.iter().any(|(start, ..)| *start == from), !from.is_over(), "{from:?}");
        }
        assert!(TRANSITIONS.iter().all(|(from, _, to)| to >= from), "a status never goes backwards");
    }
}
