//! `python`: a Python script in the run's sandbox, with the packages of deploy/sandbox/requirements.txt. It may be made again, as `shell` may.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::script::{Script, TIMEOUT, timeout_parameter, unavailable};
use super::{Files, Invocation, Output, Spec, Tool, ToolError};
use crate::sandbox::{Interpreter, Sandbox};

pub(super) struct Python {
    spec: Spec,
    script: Script,
}

impl Python {
    pub(super) fn new(sandbox: Arc<Sandbox>) -> Self {
        let spec = Spec {
            name: "python",
            description: "Runs a Python 3 script in the workspace, a directory that stays from call to call; variables do not. numpy, \
                          pandas, matplotlib (into files) and openpyxl are installed. The caller's files are in inputs/ (read-only). \
                          There is no network. Returns the exit code and what was printed: print what you want to see.",
            parameters: json!({
                "type": "object",
                "properties": {
                    "script": {"type": "string", "description": "A whole Python program"},
                    "timeout_seconds": timeout_parameter(),
                },
                "required": ["script"],
                "additionalProperties": false,
            }),
            repeatable: true,
            files: Files::Changes,
            timeout: TIMEOUT,
            max_result_bytes: 24 << 10,
        };
        Self { spec, script: Script { sandbox, interpreter: Interpreter::Python } }
    }
}

impl Tool for Python {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.script.run(invocation).boxed()
    }

    fn unavailable(&self) -> Option<String> {
        let missing = "Python is not prepared on this worker; see CAPI_SANDBOX_PYTHON";
        unavailable(&self.script.sandbox)
            .or_else(|| (!self.script.sandbox.has_python()).then(|| missing.to_owned()))
    }
}
