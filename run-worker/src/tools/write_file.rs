//! `write_file`: writes a text file in the workspace.

use std::io::ErrorKind;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{FileTool, check_room, message_of, writable};
use super::{Files, Spec, Tool, ToolError, arguments};
use crate::workspace::{Workspace, WorkspacePath};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Relative to the workspace, for example src/main.py
    path: String,
    /// The whole text of the file
    content: String,
}

pub(super) fn write_file() -> impl Tool {
    let spec = Spec {
        name: "write_file",
        description: "Writes a text file in the workspace. Makes missing directories and replaces \
                      an existing file."
            .into(),
        parameters: arguments::schema::<Arguments>(),
        repeatable: true,
        files: Files::Changes,
        timeout: Duration::from_secs(30),
        max_result_bytes: 1000,
    };
    FileTool { spec, run: write }
}

fn write(workspace: &Workspace, Arguments { path, content }: Arguments) -> Result<String, ToolError> {
    let target = writable(&path)?;
    check_room(workspace, &target, content.len() as u64)?;
    let written = workspace
        .open_root(WorkspacePath::Workspace(target))
        .and_then(|(root, target)| root.write(&target, &mut content.as_bytes(), 0o644, workspace.owner()));
    let bytes = written.map_err(|error| match error.kind() {
        ErrorKind::IsADirectory => {
            ToolError::RespondToModel(format!("{path:?} is a directory; give the path of a file in it."))
        }
        _ => message_of(&path, &error),
    })?;
    Ok(format!("Wrote {bytes} bytes to {path:?}."))
}
