//! `read_file`: lines of a text file in the workspace, or of one that the caller gave.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::files::{on_disk, place, refused, workspace};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};

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
const MAX_FILE_BYTES: u64 = 256 << 20;
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
            let read = on_disk(workspace.tasks().clone(), move || {
                let (root, place) = workspace.open_root(place).map_err(|error| refused(&path, &error))?;
                let file = root.read(&place).map_err(|error| refused(&path, &error))?;
                let size = file.metadata().map_err(|error| refused(&path, &error))?.len();
                if size > MAX_FILE_BYTES {
                    return Err(too_long(&path, size, MAX_FILE_BYTES));
                }
                match part(BufReader::new(file.take(size)), from_line, lines) {
                    Ok(Some(text)) => Ok(text),
                    Ok(None) => Err(no_text(&path, size)),
                    Err(error) => Err(refused(&path, &error)),
                }
            });
            Ok(Output { text: read.await?, artifact: None })
        }
        .boxed()
    }
}

pub(super) fn too_long(path: &str, size: u64, most: u64) -> ToolError {
    let why = format!("{path:?} has {size} bytes, more than this tool takes ({most}); use a program.");
    ToolError::RespondToModel(why)
}

pub(super) fn no_text(path: &str, size: u64) -> ToolError {
    ToolError::RespondToModel(format!("{path:?} is no UTF-8 text ({size} bytes); use a program."))
}

/// Lines of a text, and what is left out; none where it is no text. Little of it is in memory.
fn part(mut reader: impl BufRead, from: usize, lines: usize) -> std::io::Result<Option<String>> {
    let (from, mut shown, mut full) = (from.max(1), Vec::new(), false);
    let until = from.saturating_add(lines);
    // Lines that have ended, whether another has begun, and the last that is shown.
    let (mut ended, mut begun, mut last) = (0, false, 0);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        if buffer.contains(&0) {
            return Ok(None);
        }
        for piece in buffer.split_inclusive(|byte| *byte == b'\n') {
            let number = ended + 1;
            if (from..until).contains(&number) && !full {
                let fits = piece.len().min(MAX_RESULT_BYTES - shown.len());
                full = fits < piece.len();
                shown.extend_from_slice(&piece[..fits]);
                last = if fits > 0 { number } else { last };
            }
            begun = !piece.ends_with(b"\n");
            ended += usize::from(!begun);
        }
        let read = buffer.len();
        reader.consume(read);
    }
    let total = ended + usize::from(begun);
    let text = String::from_utf8_lossy(&shown);
    Ok(Some(if total == 0 {
        "[the file is empty]".to_owned()
    } else if last == 0 {
        format!("[the file has {total} line(s)]")
    } else if from == 1 && last == total && !full {
        text.into_owned()
    } else {
        let cut = if full { ", the last one cut" } else { "" };
        format!("{text}\n[lines {from} to {last} of {total}{cut}]")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_which_it_is() {
        // In small pieces, as a file comes.
        let part = |text: &str, from, lines| {
            super::part(BufReader::with_capacity(3, text.as_bytes()), from, lines).unwrap().unwrap()
        };
        assert_eq!(part("a\nb\nc", 1, 10), "a\nb\nc");
        assert_eq!(part("a\nb\n", 1, usize::MAX), "a\nb\n");
        assert_eq!(part("a\nbéé\nc", 2, 1), "béé\n\n[lines 2 to 2 of 3]");
        assert_eq!(part("a\nb\nc", 9, 1), "[the file has 3 line(s)]");
        assert_eq!(part("", 1, 1), "[the file is empty]");
        let long = part(&"x".repeat(MAX_RESULT_BYTES + 1), 1, 10);
        assert!(
            long.len() < MAX_RESULT_BYTES + 50 && long.ends_with("[lines 1 to 1 of 1, the last one cut]")
        );
        assert!(part(&"line\n".repeat(100_000), 1, 100_000).ends_with("of 100000, the last one cut]"));
        assert!(super::part(&b"a\0b"[..], 1, 1).unwrap().is_none());
    }
}
