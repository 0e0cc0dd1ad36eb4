//! The workspace before and after a command. A command may run in an over-full one, so that the model can
//! clean up.

use std::fmt::Write as _;
use std::path::Path;

use super::words::size;
use crate::tools::ToolError;
use crate::tools::files::{disk_error, on_disk};
use crate::workspace::{OverFull, Quota, QuotaExceeded, Workspace};

/// Characters of a path that are shown.
const MAX_SHOWN_PATH: usize = 200;

/// The quota of a command that begins now.
pub(super) async fn quota_to_begin(workspace: &Workspace) -> Result<Quota, ToolError> {
    let (tasks, workspace) = (workspace.tasks().clone(), workspace.clone());
    on_disk(tasks, move || workspace.quota_to_begin().map_err(|error| disk_error(&error))).await
}

/// What to tell the model, if the workspace is over a limit now.
pub(super) async fn over_full(workspace: &Workspace) -> Result<Option<String>, ToolError> {
    let (tasks, workspace) = (workspace.tasks().clone(), workspace.clone());
    let found = on_disk(tasks, move || workspace.over_full().map_err(|error| disk_error(&error))).await?;
    Ok(found.as_ref().map(told))
}

fn told(found: &OverFull) -> String {
    let what = match found.exceeded {
        QuotaExceeded::Bytes(max) => format!("it may hold {}", size(max)),
        other => other.to_string(),
    };
    let mut text = format!("The workspace is over its limit: {what}. Its largest files are:");
    for (path, bytes) in &found.largest {
        let _ = write!(text, "\n- {} ({})", shown(path), size(*bytes));
    }
    text.push_str(
        "\nRemove what is not needed, for example with rm: no tool can write more before. The run ends if \
         the next calls leave it over the limit.",
    );
    text
}

fn shown(path: &Path) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    path.to_string_lossy().chars().take(MAX_SHOWN_PATH).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_files_are_named_by_size() {
        let largest = vec![("a/big\n.bin".into(), 150 << 20), ("b".into(), 100)];
        let bytes = OverFull { exceeded: QuotaExceeded::Bytes(100 << 20), largest };
        let text = told(&bytes);
        assert!(text.contains("it may hold 100 MiB"), "{text}");
        assert!(text.contains("- a/big?.bin (150 MiB)\n- b (100 bytes)\nRemove"), "{text}");
        let entries = OverFull { exceeded: QuotaExceeded::Entries(10_000), largest: vec![] };
        assert!(told(&entries).contains("more than 10000 files and directories"));
    }
}
