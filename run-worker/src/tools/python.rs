//! `python`: a Python script in the run's sandbox, with the packages of deploy/sandbox/requirements.txt.

use std::sync::Arc;

use super::script::Script;
use crate::sandbox::{Interpreter, Sandbox};

const DESCRIPTION: &str = "Runs a Python 3 script in the workspace, a directory that stays from call to \
     call; variables do not. numpy, pandas, matplotlib (into files) and openpyxl are installed. The \
     caller's files are in inputs/ (read-only). There is no network. Returns the exit code and what was \
     printed: print what you want to see.";

pub(super) fn python(sandbox: Arc<Sandbox>) -> Script {
    Script::new(sandbox, Interpreter::Python, "python", DESCRIPTION)
}
