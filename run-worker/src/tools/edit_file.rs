//! `edit_file`: replaces text in a file. It is repeatable: a new attempt starts with the workspace as it was
//! before.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{FileTool, check_room, message_of, writable};
use super::read_file::{not_text, too_large};
use super::{Files, Spec, Tool, ToolError, arguments};
use crate::workspace::{RootDir, Workspace, WorkspacePath};

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
        description: "Replaces text in a file of the workspace. `old` must occur exactly once, \
                      unless `all` is true."
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
    let (root, target) =
        workspace.open_root(WorkspacePath::Workspace(target)).map_err(|error| message_of(&path, &error))?;
    let (text, mode) = read_text(&root, &target, &path)?;
    let (text, count) = replace(&text, &old, &new, all).map_err(ToolError::RespondToModel)?;
    check_room(workspace, &target, text.len() as u64)?;
    let written = root.write(&target, &mut text.as_bytes(), mode, workspace.owner());
    written.map_err(|error| message_of(&path, &error))?;
    Ok(format!("Replaced {count} occurrence(s) in {path:?}."))
}

/// Reads a text file as a whole. Also returns its mode.
fn read_text(root: &RootDir, target: &Path, path: &str) -> Result<(String, u32), ToolError> {
    let file = root.read(target).map_err(|error| message_of(path, &error))?;
    let metadata = file.metadata().map_err(|error| message_of(path, &error))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(too_large(path, metadata.len(), MAX_FILE_BYTES));
    }
    let mut bytes = Vec::new();
    file.take(metadata.len()).read_to_end(&mut bytes).map_err(|error| message_of(path, &error))?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    Ok((text.ok_or_else(|| not_text(path, metadata.len()))?, metadata.permissions().mode() & 0o755))
}

/// Returns the new text and the number of replacements. The error is a sentence for the model.
fn replace(text: &str, old: &str, new: &str, all: bool) -> Result<(String, usize), String> {
    if old.is_empty() {
        return Err("`old` is empty; use write_file to make a new file.".to_owned());
    }
    match text.matches(old).count() {
        0 => Err("`old` does not occur in the file; read the file again and copy the exact text.".to_owned()),
        count @ 2.. if !all => Err(format!(
            "`old` occurs {count} times in the file; add lines around it until it is unique, or set `all`."
        )),
        count => Ok((text.replace(old, new), count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_text_must_be_unique_unless_all_is_set() {
        assert_eq!(replace("a b a", "b", "c", false), Ok(("a c a".to_owned(), 1)));
        assert_eq!(replace("a b a", "a", "", true), Ok((" b ".to_owned(), 2)));
        for (old, what) in [("a", "2 times"), ("x", "does not occur"), ("", "is empty")] {
            assert!(replace("a b a", old, "c", false).unwrap_err().contains(what));
        }
    }
}
