//! `read_file`: returns lines of a text file in the workspace, or of one of the caller's files.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{FileTool, message_of, readable};
use super::{Files, Spec, Tool, ToolError, arguments};
use crate::workspace::Workspace;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Relative to the workspace, for example inputs/data.csv
    path: String,
    /// The first line, counted from 1; 1 if absent
    #[serde(default = "first_line")]
    #[schemars(range(min = 1))]
    from_line: usize,
    /// How many lines; 1000 if absent
    #[serde(default = "default_lines")]
    #[schemars(range(min = 1))]
    lines: usize,
}

const fn first_line() -> usize {
    1
}

const fn default_lines() -> usize {
    1000
}

/// For larger files a model writes a program.
const MAX_FILE_BYTES: u64 = 256 << 20;
const MAX_RESULT_BYTES: usize = 48 << 10;

pub(super) fn read_file() -> impl Tool {
    let spec = Spec {
        name: "read_file",
        description: "Returns lines of a text file in the workspace or in inputs/ (the caller's files)."
            .into(),
        parameters: arguments::schema::<Arguments>(),
        repeatable: true,
        files: Files::Reads,
        timeout: Duration::from_secs(30),
        max_result_bytes: MAX_RESULT_BYTES + 200,
    };
    FileTool { spec, run: read }
}

fn read(workspace: &Workspace, arguments: Arguments) -> Result<String, ToolError> {
    let Arguments { path, from_line, lines } = arguments;
    let (root, target) = workspace.open_root(readable(&path)?).map_err(|error| message_of(&path, &error))?;
    let file = root.read(&target).map_err(|error| message_of(&path, &error))?;
    let size = file.metadata().map_err(|error| message_of(&path, &error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(too_large(&path, size, MAX_FILE_BYTES));
    }
    match part(BufReader::new(file.take(size)), from_line, lines) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(not_text(&path, size)),
        Err(error) => Err(message_of(&path, &error)),
    }
}

pub(super) fn too_large(path: &str, size: u64, max: u64) -> ToolError {
    let why = format!("{path:?} has {size} bytes; this tool takes at most {max}. Use a program.");
    ToolError::RespondToModel(why)
}

pub(super) fn not_text(path: &str, size: u64) -> ToolError {
    ToolError::RespondToModel(format!("{path:?} is not UTF-8 text ({size} bytes). Use a program."))
}

/// Returns lines of a text and says what is left out, or none if it is not a text. The whole text is never in
/// memory.
fn part(mut reader: impl BufRead, from: usize, lines: usize) -> std::io::Result<Option<String>> {
    let (from, mut shown, mut full) = (from.max(1), Vec::new(), false);
    let until = from.saturating_add(lines);
    // The number of complete lines, whether another line has begun, and the number of the last line shown.
    let (mut complete, mut begun, mut last) = (0, false, 0);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        if buffer.contains(&0) {
            return Ok(None);
        }
        for piece in buffer.split_inclusive(|byte| *byte == b'\n') {
            let number = complete + 1;
            if (from..until).contains(&number) && !full {
                let fits = piece.len().min(MAX_RESULT_BYTES - shown.len());
                full = fits < piece.len();
                shown.extend_from_slice(&piece[..fits]);
                last = if fits > 0 { number } else { last };
            }
            begun = !piece.ends_with(b"\n");
            complete += usize::from(!begun);
        }
        let read = buffer.len();
        reader.consume(read);
    }
    let total = complete + usize::from(begun);
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
    fn a_part_names_its_lines() {
        // Read in small pieces, as a file is.
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
