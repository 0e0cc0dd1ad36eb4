//! A workspace over its limit. The model is told, and may clean up. The run ends if the model goes on: the
//! log counts the results in a row after which the workspace was over its limit.

use std::fmt::Write as _;

use shared::limits::Limits;
use shared::runs::events::ToolResult;
use shared::runs::{ErrorCode, RunError};

use super::files::{Changed, store_snapshot};
use super::{Agent, Halt};

/// The run ends after so many such results in a row. The model needs one to notice, and one to clean up.
const MAX_IN_A_ROW: u32 = 3;

/// How many results in a row left the workspace over its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OverQuota(u32);

impl OverQuota {
    /// A result without changes says nothing: the model may look at the files.
    pub(super) const fn add(&mut self, result: &ToolResult) {
        if result.over_quota {
            self.0 = self.0.saturating_add(1);
        } else if result.workspace.is_some() {
            self.0 = 0;
        }
    }

    pub(super) const fn is_final(self) -> bool {
        self.0 >= MAX_IN_A_ROW
    }
}

/// The error of a run whose workspace stayed over its limit.
pub(super) fn error(limits: &Limits, step: i32) -> RunError {
    let message = format!(
        "step {step}: the workspace was over its limits after {MAX_IN_A_ROW} calls in a row, with \
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
            let _ = write!(
                result.content,
                "\n[All changes that this call made to files were undone, because {exceeded}. Write less.]"
            );
            "undone"
        }
    };
    result.over_quota = true;
    tracing::warn!(call = %result.call_id, outcome, "a call left the workspace over its limit");
    metrics::counter!("capi_workspace_over_limit_total", "outcome" => outcome).increment(1);
    Ok(result.workspace.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::events::tool_result;
    use super::*;
    use shared::runs::events::{RequestedCall, StoredSnapshot};
    use uuid::Uuid;

    #[test]
    fn only_results_in_a_row_count() {
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
        let is_final = |results: &[ToolResult]| {
            let mut counted = OverQuota::default();
            for result in results {
                counted.add(result);
            }
            counted.is_final()
        };
        assert!(!is_final(&[over(), undone()]));
        assert!(is_final(&[over(), looked(), undone(), over()]));
        assert!(!is_final(&[over(), over(), cleaned(), over(), over()]));
    }
}
