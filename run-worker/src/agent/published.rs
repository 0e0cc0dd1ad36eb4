//! Finds the web pages that published files cite. It reads the arguments of the calls; it does not read files
//! that a program wrote. Pure.

use std::collections::BTreeSet;
use std::path::PathBuf;

use model_client::Message;
use serde_json::Value;
use shared::runs::events::{FoundSource, RequestedCall};

use super::citations::Citable;
use crate::workspace::WorkspacePath;

/// Bytes of arguments that are searched at the end of a run. The calls of most runs have fewer in all.
const MAX_SEARCHED_BYTES: usize = 8 << 20;

/// The files that calls published.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Published {
    /// The numbers of the pages that texts cite which a call published as they are.
    cited: BTreeSet<u32>,
    /// Files of the workspace that were published.
    paths: BTreeSet<PathBuf>,
}

impl Published {
    /// Adds the file of a call. `pages` are those that the run knew at that time.
    pub(super) fn add(&mut self, call: &RequestedCall, pages: &[FoundSource]) {
        if pages.is_empty() {
            return;
        }
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        if let Some(content) = arguments["content"].as_str() {
            Citable::of(pages).add_cited(content, &mut self.cited);
        }
        self.paths.extend(path_of(&arguments));
    }

    /// The numbers of the pages that the published files cite.
    pub(super) fn cited(&self, messages: &[Message], pages: &Citable<'_>) -> BTreeSet<u32> {
        let mut cited = self.cited.clone();
        if self.paths.is_empty() {
            return cited;
        }
        let calls = messages.iter().filter_map(|message| match message {
            Message::Assistant { calls, .. } => Some(calls),
            Message::System(_) | Message::User { .. } | Message::Tool { .. } => None,
        });
        let mut left = MAX_SEARCHED_BYTES;
        for call in calls.flatten() {
            let Some(rest) = left.checked_sub(call.arguments.len()) else { break };
            left = rest;
            let written = match call.name.as_str() {
                "write_file" => "content",
                "edit_file" => "new",
                "python" | "shell" => "script",
                _ => continue,
            };
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            let Some(text) = arguments[written].as_str() else { continue };
            if written == "script" {
                // Numbers in brackets are mostly code there.
                if self.is_named_in(text) {
                    pages.add_urls(text, &mut cited);
                }
            } else if path_of(&arguments).is_some_and(|path| self.paths.contains(&path)) {
                pages.add_cited(text, &mut cited);
            }
        }
        cited
    }

    /// Whether a script names one of the files.
    fn is_named_in(&self, script: &str) -> bool {
        self.paths.iter().filter_map(|path| path.file_name()?.to_str()).any(|name| script.contains(name))
    }
}

/// The file of the workspace that the arguments name.
fn path_of(arguments: &Value) -> Option<PathBuf> {
    match WorkspacePath::parse(arguments["path"].as_str()?) {
        Ok(WorkspacePath::Workspace(path)) => Some(path),
        Ok(WorkspacePath::Inputs(_)) | Err(_) => None,
    }
}
