//! `edit_file`: replaces text in a file. Line endings, byte order mark and encoding stay as they are. It is
//! repeatable: a new attempt starts with the workspace as it was before.

mod encoded;
mod nearest;
mod replace;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{FileTool, check_room, message_of, not_opened, writable};
use super::read_file::too_large;
use super::{Files, Spec, Tool, ToolError, arguments};
use crate::workspace::{RootDir, Workspace, WorkspacePath};
use encoded::Encoded;
use replace::{Edit, replace};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Relative to the workspace
    path: String,
    /// The exact text to replace, with enough text around it to be unique
    old: String,
    /// The new text
    new: String,
    /// Replace every occurrence; false if absent
    #[serde(default)]
    all: bool,
}

/// For larger files a model writes a program.
const MAX_FILE_BYTES: u64 = 4 << 20;

pub(super) fn edit_file() -> impl Tool {
    let spec = Spec {
        name: "edit_file",
        description:
            "Replaces text in a file of the workspace. `old` must occur exactly once, unless `all` is \
                      true. Line endings and the encoding of the file are matched and kept."
                .into(),
        parameters: arguments::schema::<Arguments>(),
        repeatable: true,
        files: Files::Changes,
        timeout: Duration::from_secs(30),
        max_result_bytes: 1000,
    };
    FileTool { spec, run: edit }
}

fn edit(workspace: &Workspace, arguments: Arguments) -> Result<String, ToolError> {
    let Arguments { path, old, new, all } = arguments;
    let target = writable(&path)?;
    let opened = workspace.open_root(WorkspacePath::Workspace(target));
    let (root, target) = opened.map_err(|error| message_of(&path, &error))?;
    let (bytes, mode) = read(workspace, &root, &target, &path)?;
    let Some(encoded) = Encoded::read(&bytes) else {
        let why = format!(
            "{path:?} cannot be edited here: it is no text, or some of its {} bytes do not fit its encoding. \
             Use a program.",
            bytes.len()
        );
        return Err(ToolError::RespondToModel(why));
    };
    let edit = Edit { old: &old, new: &new, all };
    let (text, count) = replace(encoded.text(), &edit).map_err(ToolError::RespondToModel)?;
    let bytes = encoded.with(&text).map_err(ToolError::RespondToModel)?;
    check_room(workspace, &target, bytes.len() as u64)?;
    let written = root.write(&target, &mut bytes.as_slice(), mode, workspace.owner());
    written.map_err(|error| message_of(&path, &error))?;
    let kept = encoded.kept().map(|kept| format!(" The file stays {kept}.")).unwrap_or_default();
    Ok(format!("Replaced {count} occurrence(s) in {path:?}.{kept}"))
}

/// Returns the bytes of a file and its permissions.
fn read(
    workspace: &Workspace,
    root: &RootDir,
    target: &Path,
    path: &str,
) -> Result<(Vec<u8>, u32), ToolError> {
    let file = root.read(target).map_err(|error| not_opened(workspace, path, &error))?;
    let metadata = file.metadata().map_err(|error| message_of(path, &error))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(too_large(path, metadata.len(), MAX_FILE_BYTES));
    }
    let mut bytes = Vec::new();
    file.take(metadata.len()).read_to_end(&mut bytes).map_err(|error| message_of(path, &error))?;
    Ok((bytes, metadata.permissions().mode() & 0o755))
}
