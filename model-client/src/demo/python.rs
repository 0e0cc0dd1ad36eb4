//! Programs of the scripts for the tool `python`, and what they found. Pure.

use serde_json::{Value, json};

/// What a program prints before its result, which is JSON in one line.
const RESULT: &str = "RESULT ";
/// Characters of an output that are quoted.
const QUOTED: usize = 300;
/// Matplotlib and pandas start slowly on a busy machine.
const TIMEOUT_SECONDS: u32 = 300;

/// The arguments of a call that runs the program over this data.
pub(super) fn call(program: &str, data: &Value) -> Value {
    // A JSON string is a string of Python too.
    let literal = Value::String(data.to_string());
    let script = format!("import json\n\nDATA = json.loads({literal})\n\n{program}");
    json!({"script": script, "timeout_seconds": TIMEOUT_SECONDS})
}

/// The result that a program printed.
pub(super) fn result(output: &str) -> Option<Value> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix(RESULT))?;
    serde_json::from_str(line).ok()
}

/// Why there is no result: the end of the output.
pub(super) fn failure(output: &str) -> String {
    let output = output.trim();
    let skipped = output.chars().count().saturating_sub(QUOTED);
    let end: String = output.chars().skip(skipped).collect();
    format!("The program gave no result. It ended with:\n\n```\n{end}\n```\n")
}
