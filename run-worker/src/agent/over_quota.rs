//! A workspace over its limit. The result tells the model, which may clean up. The run ends if the model
//! goes on: the log counts the steps in a row that left the workspace over its limit.

use std::fmt::Write as _;

use shared::limits::Limits;
use shared::runs::events::ToolResult;
use shared::runs::{ErrorCode, RunError};

use super::files::{Changed, store_snapshot};
use super::{Agent, Halt};
use crate::workspace::QuotaExceeded;

/// The run ends after so many such steps in a row. The model needs one to notice, and one to clean up. It
/// sees the results of a step together, so they count once.
const MAX_IN_A_ROW: u32 = 3;

/// How many steps in a row left the workspace over its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OverQuota {
    in_a_row: u32,
    /// The current step is one of them.
    has_counted_step: bool,
}

impl OverQuota {
    pub(super) const fn begin_step(&mut self) {
        self.has_counted_step = false;
    }

    /// A result without changes says nothing: the model may look at the files.
    pub(super) const fn add(&mut self, result: &ToolResult) {
        if result.over_quota {
            if !self.has_counted_step {
                self.in_a_row = self.in_a_row.saturating_add(1);
            }
            self.has_counted_step = true;
        } else if result.workspace.is_some() {
            self.in_a_row = 0;
            self.has_counted_step = false;
        }
    }

    pub(super) const fn is_final(self) -> bool {
        self.in_a_row >= MAX_IN_A_ROW
    }
}

/// The error of a run whose workspace stayed over its limit.
pub(super) fn error(limits: &Limits, step: i32) -> RunError {
    let message = format!(
        "step {step}: the workspace was over its limits after {MAX_IN_A_ROW} steps in a row, with \
         {} bytes allowed; raise limits.workspace_bytes, or ask for less",
        limits.workspace_bytes
    );
    RunError::new(ErrorCode::WorkspaceLimitExceeded, &message, Some(step))
}

/// Stores the changes of a call for its result. Returns whether a snapshot was stored.
pub(super) async fn store(agent: &Agent<'_, '_>, result: &mut ToolResult) -> Result<bool, Halt> {
    let outcome = match store_snapshot(agent).await? {
        Changed::Nothing => return Ok(false),
        Changed::Stored(snapshot) => {
            result.workspace = Some(snapshot);
            return Ok(true);
        }
        Changed::Over(snapshot) => {
            result.workspace = Some(snapshot);
            "kept"
        }
        Changed::Undone(exceeded) => {
            result.content = with_undone(&result.content, &exceeded);
            "undone"
        }
    };
    result.over_quota = true;
    tracing::warn!(call = %result.call_id, outcome, "a call left the workspace over its limit");
    metrics::counter!("capi_workspace_over_limit_total", "outcome" => outcome).increment(1);
    Ok(result.workspace.is_some())
}

/// Says it before all that the call tells of its files. The first line is how a command ended.
fn with_undone(content: &str, exceeded: &QuotaExceeded) -> String {
    let (first, rest) = content.split_once('\n').unwrap_or((content, ""));
    let mut told = format!(
        "{first}\n[All changes that this call made to files were undone, because {exceeded}. New files that \
         this result names are gone. Write less.]"
    );
    if !rest.is_empty() {
        let _ = write!(told, "\n{rest}");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::super::events::tool_result;
    use super::*;
    use shared::runs::events::{RequestedCall, StoredSnapshot};
    use uuid::Uuid;

    #[test]
    fn only_steps_in_a_row_count() {
        let call = RequestedCall {
            id: Uuid::nil(),
            provider_id: String::new(),
            name: "shell".to_owned(),
            arguments: String::new(),
            extra: None,
        };
        let snapshot =
            || Some(StoredSnapshot { key: String::new(), sha256: String::new(), size: 1, format: None });
        let looked = || tool_result(&call, String::new(), false);
        let over = || ToolResult { over_quota: true, workspace: snapshot(), ..looked() };
        let undone = || ToolResult { workspace: None, ..over() };
        let cleaned = || ToolResult { workspace: snapshot(), ..looked() };
        let is_final = |steps: &[Vec<ToolResult>]| {
            let mut counted = OverQuota::default();
            for step in steps {
                counted.begin_step();
                for result in step {
                    counted.add(result);
                }
            }
            counted.is_final()
        };
        let alone = |result: ToolResult| vec![result];
        assert!(!is_final(&[over(), undone()].map(alone)));
        assert!(is_final(&[over(), looked(), undone(), over()].map(alone)));
        assert!(!is_final(&[over(), over(), cleaned(), over(), over()].map(alone)));
        // The model sees the results of a step together.
        let three = || vec![over(), undone(), over()];
        assert!(!is_final(&[three()]) && !is_final(&[three(), three()]));
        assert!(is_final(&[three(), three(), three()]));
        assert!(!is_final(&[three(), three(), vec![over(), cleaned()], three()]));
        assert!(!is_final(&[three(), vec![over(), cleaned(), over()], three()]));
    }

    #[test]
    fn what_is_undone_is_told_before_the_files_that_are_gone() {
        let exceeded = QuotaExceeded::Bytes(100);
        let told = with_undone("ended by capi, 1.2 s\n[Its largest files are: big.bin]\nprinted", &exceeded);
        let place = |words: &str| told.find(words).unwrap();
        assert!(told.starts_with("ended by capi, 1.2 s\n[All changes"), "{told}");
        assert!(place("more than 100 bytes") < place("are gone"), "{told}");
        assert!(place("are gone") < place("big.bin") && told.ends_with("]\nprinted"), "{told}");
        let short = with_undone("Wrote 5 bytes.", &exceeded);
        assert!(short.starts_with("Wrote 5 bytes.\n[All") && short.ends_with("Write less.]"), "{short}");
    }
}
