//! `list_files`: lists the workspace, or a directory of it.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{FileTool, disk_error, message_of, readable};
use super::{Files, Spec, Tool, ToolError, arguments};
use crate::workspace::{ListedFile, Workspace, WorkspacePath};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// A directory; the whole workspace if absent
    #[serde(default)]
    path: String,
}

const MAX_ENTRIES: usize = 300;

pub(super) fn list_files() -> impl Tool {
    let spec = Spec {
        name: "list_files",
        description: "Lists the files of the workspace with their sizes, and the caller's files in inputs/."
            .into(),
        parameters: arguments::schema::<Arguments>(),
        repeatable: true,
        files: Files::Reads,
        timeout: Duration::from_secs(30),
        max_result_bytes: 24 << 10,
    };
    FileTool { spec, run: list }
}

fn list(workspace: &Workspace, Arguments { path }: Arguments) -> Result<String, ToolError> {
    let list = |path: WorkspacePath| {
        let (root, path) = workspace.open_root(path)?;
        root.list(&path, MAX_ENTRIES)
    };
    let dir = readable(&path)?;
    let is_whole = dir == WorkspacePath::Workspace("".into());
    let listed = list(dir.clone());
    if let Err(error) = &listed
        && error.kind() == ErrorKind::NotADirectory
        && let Ok(file) = workspace.open_root(dir.clone()).and_then(|(root, file)| root.read(&file))
    {
        let size = file.metadata().map_err(|error| disk_error(&error))?.len();
        let why = format!("{path:?} is a file of {size} bytes and no directory; read_file reads it.");
        return Err(ToolError::RespondToModel(why));
    }
    let (mut files, mut has_more) = listed.map_err(|error| message_of(&path, &error))?;
    if is_whole {
        let inputs = list(WorkspacePath::Inputs("".into()));
        let (inputs, more_inputs) = inputs.map_err(|error| message_of("inputs", &error))?;
        let below = |file: ListedFile| ListedFile { path: format!("inputs/{}", file.path), ..file };
        files.extend(inputs.into_iter().map(below));
        files.retain(|file| file.path != "inputs/");
        has_more |= more_inputs;
    }
    Ok(in_lines(&files, has_more))
}

fn in_lines(files: &[ListedFile], has_more: bool) -> String {
    if files.is_empty() {
        return "[no files]".to_owned();
    }
    let mut text = String::new();
    for file in files {
        let _ = match file.size {
            Some(size) => writeln!(text, "{}  ({size} bytes)", file.path),
            None => writeln!(text, "{}", file.path),
        };
    }
    if has_more {
        let _ = write!(
            text,
            "[there are more than these {} files; call list_files with the path of one directory]",
            files.len()
        );
    }
    text.replace('\0', "\u{fffd}")
}
