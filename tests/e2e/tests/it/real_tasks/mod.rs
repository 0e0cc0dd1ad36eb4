//! The tasks that people give to agents, with real files, the real worker and the real sandbox. A script
//! makes the calls that a model would make. The artifacts are downloaded and opened with the libraries of the
//! sandbox's Python environment, outside the sandbox.
//!
//! The Python programs are in `python/`: `make` writes the files of a task, `call` is what the model runs,
//! and `open` prints as JSON what an artifact holds.

mod bad_documents;
mod bad_pages;
mod bad_tables;
mod command_limits;
mod documents;
mod pictures;
mod programs;
mod run_limits;
mod services;
mod tables;
mod told;
mod web_search;

use std::time::Duration;

use serde_json::{Value, json};

/// The longest time of a task. A busy machine imports a large library in many seconds.
const ENDS_WITHIN: Duration = Duration::from_mins(5);

/// One of the Python programs.
macro_rules! program {
    ($name:literal) => {
        include_str!(concat!("python/", $name, ".py"))
    };
}
use program;

/// A call of a tool: its name and its arguments.
type Call<'a> = (&'a str, Value);

fn shell(script: &str) -> Call<'static> {
    ("shell", json!({"script": script}))
}

fn python(script: &str) -> Call<'static> {
    ("python", json!({"script": script, "timeout_seconds": 240}))
}

fn read(path: &str) -> Call<'static> {
    ("read_file", json!({"path": path}))
}

/// Publishes a file of the workspace.
fn save(path: &str) -> Call<'static> {
    ("save_artifact", json!({"path": path}))
}
