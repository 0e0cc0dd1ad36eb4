//! `edit_file`: replaces a piece of a file's text. Made again on the workspace as it was before, it does the
//! same.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::files::{has_room, on_disk, refused, workspace, writable};
use super::read_file::{no_text, too_long};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::workspace::{RootDir, WorkspacePath};

pub(super) struct EditFile(Spec);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    old: String,
    new: String,
    #[serde(default)]
    all: bool,
}

/// Bytes of a file that is edited; larger ones are for programs.
const MAX_FILE_BYTES: u64 = 4 << 20;

impl EditFile {
    pub(super) fn new() -> Self {
        Self(Spec {
            name: "edit_file",
            description: "Replaces a piece of a text file in the workspace: `old` must stand in it exactly once, or `all` must be true.",
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Relative to the workspace"},
                    "old": {"type": "string", "description": "The piece to replace, to the letter, with enough around it to be unique"},
                    "new": {"type": "string", "description": "What stands there afterwards"},
                    "all": {"type": "boolean", "description": "Replace every occurrence; false if absent"},
                },
                "required": ["path", "old", "new"],
                "additionalProperties": false,
            }),
            repeatable: true,
            files: Files::Changes,
            timeout: Duration::from_secs(30),
            max_result_bytes: 1000,
        })
    }
}

impl Tool for EditFile {
    fn spec(&self) -> &Spec {
        &self.0
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        async move {
            let workspace = workspace(&invocation)?;
            let Arguments { path, old, new, all } = arguments::read(invocation.arguments)?;
            let place = writable(&path)?;
            let edited = on_disk(workspace.tasks().clone(), move || {
                let (root, place) = workspace
                    .open_root(WorkspacePath::Workspace(place))
                    .map_err(|error| refused(&path, &error))?;
                let (text, mode) = read_text(&root, &place, &path)?;
                let (text, count) = replace(&text, &old, &new, all).map_err(ToolError::RespondToModel)?;
                has_room(&workspace, &place, text.len() as u64)?;
                let written = root.write(&place, &mut text.as_bytes(), mode, workspace.owner());
                written.map_err(|error| refused(&path, &error))?;
                Ok(format!("Replaced {count} occurrence(s) in {path:?}."))
            });
            Ok(Output { text: edited.await?, artifact: None })
        }
        .boxed()
    }
}

/// A text file whole, with its mode. What is no text stays as it is.
fn read_text(root: &RootDir, place: &Path, path: &str) -> Result<(String, u32), ToolError> {
    let file = root.read(place).map_err(|error| refused(path, &error))?;
    let found = file.metadata().map_err(|error| refused(path, &error))?;
    if found.len() > MAX_FILE_BYTES {
        return Err(too_long(path, found.len(), MAX_FILE_BYTES));
    }
    let mut bytes = Vec::new();
    file.take(found.len()).read_to_end(&mut bytes).map_err(|error| refused(path, &error))?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    Ok((text.ok_or_else(|| no_text(path, found.len()))?, found.permissions().mode() & 0o755))
}

/// The text after the replacement, and how often: pure.
fn replace(text: &str, old: &str, new: &str, all: bool) -> Result<(String, usize), String> {
    if old.is_empty() {
        return Err("`old` is empty; write_file makes new files.".to_owned());
    }
    match text.matches(old).count() {
        0 => Err("`old` does not stand in the file; read the file again and copy the piece to the letter."
            .to_owned()),
        count @ 2.. if !all => Err(format!(
            "`old` stands in the file {count} times; add lines around it until it is unique, or set `all`."
        )),
        count => Ok((text.replace(old, new), count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_must_be_unique_or_all_are_meant() {
        assert_eq!(replace("a b a", "b", "c", false), Ok(("a c a".to_owned(), 1)));
        assert_eq!(replace("a b a", "a", "", true), Ok((" b ".to_owned(), 2)));
        for (old, what) in [("a", "2 times"), ("x", "does not stand"), ("", "is empty")] {
            assert!(replace("a b a", old, "c", false).unwrap_err().contains(what));
        }
    }
}
