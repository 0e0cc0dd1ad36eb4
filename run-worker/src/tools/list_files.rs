//! `list_files`: what is in the workspace, or in a directory of it.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::files::{on_disk, place, refused, workspace};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::workspace::{ListedFile, WorkspacePath};

pub(super) struct ListFiles(Spec);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(default)]
    path: String,
}

const MAX_ENTRIES: usize = 300;

impl ListFiles {
    pub(super) fn new() -> Self {
        Self(Spec {
            name: "list_files",
            description: "Lists the files of the workspace with their sizes, and the caller's files in inputs/.",
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "A directory; the whole workspace if absent"},
                },
                "additionalProperties": false,
            }),
            repeatable: true,
            files: Files::Reads,
            timeout: Duration::from_secs(30),
            max_result_bytes: 24 << 10,
        })
    }
}

impl Tool for ListFiles {
    fn spec(&self) -> &Spec {
        &self.0
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        async move {
            let workspace = workspace(&invocation)?;
            let Arguments { path } = arguments::read(invocation.arguments)?;
            let asked = place(&path)?;
            let listed = on_disk(workspace.tasks().clone(), move || {
                let list = |place: WorkspacePath| {
                    let (root, place) = workspace.open_root(place)?;
                    root.list(&place, MAX_ENTRIES)
                };
                let whole = asked == WorkspacePath::Workspace("".into());
                let (mut listed, mut more) = list(asked).map_err(|error| refused(&path, &error))?;
                if whole {
                    let (inputs, more_inputs) =
                        list(WorkspacePath::Inputs("".into())).map_err(|error| refused("inputs", &error))?;
                    let below = |one: ListedFile| ListedFile { path: format!("inputs/{}", one.path), ..one };
                    listed.extend(inputs.into_iter().map(below));
                    listed.retain(|one| one.path != "inputs/");
                    more |= more_inputs;
                }
                Ok(shown(&listed, more))
            });
            Ok(Output { text: listed.await?, artifact: None })
        }
        .boxed()
    }
}

fn shown(listed: &[ListedFile], more: bool) -> String {
    if listed.is_empty() {
        return "[nothing is there]".to_owned();
    }
    let mut text = String::new();
    for one in listed {
        let _ = match one.size {
            Some(size) => writeln!(text, "{}  ({size} bytes)", one.path),
            None => writeln!(text, "{}", one.path),
        };
    }
    if more {
        let _ = write!(text, "[there is more than these {MAX_ENTRIES}; list a directory]");
    }
    text.replace('\0', "\u{fffd}")
}
