//! `shell`: a bash script in the run's sandbox.

use std::sync::Arc;

use super::script::Script;
use crate::sandbox::{Interpreter, Sandbox};

const DESCRIPTION: &str = "Runs a bash script in the workspace, a directory that stays from call to call. \
     Everything else is fresh each time, and background processes end with the script. The caller's files \
     are in inputs/ (read-only). There is no network. Returns the exit code and what was printed.";

pub(super) fn shell(sandbox: Arc<Sandbox>) -> Script {
    Script::new(sandbox, Interpreter::Bash, "shell", DESCRIPTION)
}
