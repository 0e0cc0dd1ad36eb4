//! `write_file`: a text becomes a file of the workspace.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::files::{has_room, on_disk, refused, workspace, writable};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::workspace::WorkspacePath;

pub(super) struct WriteFile(Spec);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    content: String,
}

impl WriteFile {
    pub(super) fn new() -> Self {
        Self(Spec {
            name: "write_file",
            description: "Writes a text file in the workspace, with the directories on its way. A file that is there is replaced.",
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Relative to the workspace, for example src/main.py"},
                    "content": {"type": "string", "description": "The whole text of the file"},
                },
                "required": ["path", "content"],
                "additionalProperties": false,
            }),
            repeatable: true,
            files: Files::Changes,
            timeout: Duration::from_secs(30),
            max_result_bytes: 1000,
        })
    }
}

impl Tool for WriteFile {
    fn spec(&self) -> &Spec {
        &self.0
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        async move {
            let workspace = workspace(&invocation)?;
            let Arguments { path, content } = arguments::read(invocation.arguments)?;
            let place = writable(&path)?;
            let size = content.len();
            let written = on_disk(workspace.tasks().clone(), move || {
                has_room(&workspace, &place, size as u64)?;
                let written =
                    workspace.open_root(WorkspacePath::Workspace(place)).and_then(|(root, place)| {
                        root.write(&place, &mut content.as_bytes(), 0o644, workspace.owner())
                    });
                written.map_err(|error| refused(&path, &error))?;
                Ok(format!("Wrote {size} bytes to {path:?}."))
            });
            Ok(Output { text: written.await?, artifact: None })
        }
        .boxed()
    }
}
