//! `shell`: a bash script in the run's sandbox. All that it can have an effect on is the workspace, and an
//! attempt that goes on begins with the workspace as it was before: so it may be made again.

use std::sync::Arc;

use super::script::Script;
use crate::sandbox::{Interpreter, Sandbox};

const DESCRIPTION: &str = "Runs a bash script in the workspace, a directory that stays from call to call; everything else is fresh each \
     time, and background processes end with the script. The caller's files are in inputs/ (read-only). There is \
     no network. Returns the exit code and what was printed.";

pub(super) fn shell(sandbox: Arc<Sandbox>) -> Script {
    Script::new(sandbox, Interpreter::Bash, "shell", DESCRIPTION, "One or more lines of bash")
}
