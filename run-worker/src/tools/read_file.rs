//! `read_file`: lines of a text file in the workspace, or of one that the caller gave.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use shared::text::CleanText;

use super::files::{on_disk, place, refused, workspace};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::workspace::Root;

pub(super) struct ReadFile(Spec);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    #[serde(default = "first")]
    from_line: usize,
    #[serde(default = "usual")]
    lines: usize,
}

const fn first() -> usize {
    1
}

const fn usual() -> usize {
    USUAL_LINES
}

const USUAL_LINES: usize = 1000;
/// Bytes of a file that is looked at line by line; larger ones are for programs.
const MAX_FILE_BYTES: u64 = 32 << 20;
const MAX_RESULT_BYTES: usize = 48 << 10;

impl ReadFile {
    pub(super) fn new() -> Self {
        Self(Spec {
            name: "read_file",
            description: "Returns lines of a text file in the workspace or in inputs/ (the caller's files).",
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Relative to the workspace, for example inputs/data.csv"},
                    "from_line": {"type": "integer", "minimum": 1, "description": "The first line, counted from 1; 1 if absent"},
                    "lines": {"type": "integer", "minimum": 1, "description": "How many lines; 1000 if absent"},
                },
                "required": ["path"],
                "additionalProperties": false,
            }),
            repeatable: true,
            files: Files::Reads,
            timeout: Duration::from_secs(30),
            max_result_bytes: MAX_RESULT_BYTES + 200,
        })
    }
}

impl Tool for ReadFile {
    fn spec(&self) -> &Spec {
        &self.0
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        async move {
            let workspace = workspace(&invocation)?;
            let Arguments { path, from_line, lines } = arguments::read(invocation.arguments)?;
            let place = place(&path)?;
            let read = on_disk(move || {
                let (root, place) = workspace.root_of(place).map_err(|error| refused(&path, &error))?;
                let (text, _) = read_text(&root, &place, &path, MAX_FILE_BYTES)?;
                Ok(part(&text, from_line, lines))
            });
            Ok(Output { text: read.await?, artifact: None })
        }
        .boxed()
    }
}

/// A text file whole, clean, with its mode.
pub(super) fn read_text(
    root: &Root,
    place: &Path,
    path: &str,
    most: u64,
) -> Result<(String, u32), ToolError> {
    let mut file = root.read(place).map_err(|error| refused(path, &error))?;
    let found = file.metadata().map_err(|error| refused(path, &error))?;
    if found.len() > most {
        let why =
            format!("{path:?} has {} bytes, more than this tool reads ({most}); use a program.", found.len());
        return Err(ToolError::RespondToModel(why));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(most).read_to_end(&mut bytes).map_err(|error| refused(path, &error))?;
    if bytes.contains(&0) {
        let kind = infer::get(&bytes).map_or("binary", |kind| kind.mime_type());
        let why = format!("{path:?} is no text: {kind}, {} bytes; use a program to look at it.", bytes.len());
        return Err(ToolError::RespondToModel(why));
    }
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Ok((CleanText::new(&text, usize::MAX).into_string(), found.permissions().mode() & 0o755))
}

/// Lines of a text, and what is left out: pure.
fn part(text: &str, from: usize, lines: usize) -> String {
    let (from, total) = (from.max(1), text.lines().count());
    let wanted = text.split_inclusive('\n').skip(from - 1).take(lines);
    let (mut shown, mut count) = (String::new(), 0);
    for line in wanted {
        if shown.len() + line.len() > MAX_RESULT_BYTES {
            if count == 0 {
                shown.push_str(&line[..line.floor_char_boundary(MAX_RESULT_BYTES)]);
                count = 1;
            }
            break;
        }
        shown.push_str(line);
        count += 1;
    }
    let last = from - 1 + count;
    if total == 0 {
        "[the file is empty]".to_owned()
    } else if count == 0 {
        format!("[the file has {total} line(s)]")
    } else if from == 1 && last == total && shown.len() == text.len() {
        shown
    } else {
        format!("{shown}\n[lines {from} to {last} of {total}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_which_it_is() {
        assert_eq!(part("a\nb\nc", 1, 10), "a\nb\nc");
        assert_eq!(part("a\nb\nc", 2, 1), "b\n\n[lines 2 to 2 of 3]");
        assert_eq!(part("a\nb\nc", 9, 1), "[the file has 3 line(s)]");
        assert_eq!(part("", 1, 1), "[the file is empty]");
        let long = part(&"é".repeat(MAX_RESULT_BYTES), 1, 10);
        assert!(long.len() < MAX_RESULT_BYTES + 50 && long.ends_with("[lines 1 to 1 of 1]"));
        assert!(part(&"line\n".repeat(100_000), 1, 100_000).ends_with("of 100000]"));
    }
}
