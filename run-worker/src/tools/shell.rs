//! `shell`: a bash script in the run's sandbox. All that it can have an effect on is the workspace, and an attempt that goes on begins
//! with the workspace as it was before: so it may be made again.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::script::{Script, TIMEOUT, timeout_parameter, unavailable};
use super::{Files, Invocation, Output, Spec, Tool, ToolError};
use crate::sandbox::{Interpreter, Sandbox};

pub(super) struct Shell {
    spec: Spec,
    script: Script,
}

impl Shell {
    pub(super) fn new(sandbox: Arc<Sandbox>) -> Self {
        let spec = Spec {
            name: "shell",
            description: "Runs a bash script in the workspace, a directory that stays from call to call; everything else is fresh each \
                          time, and background processes end with the script. The caller's files are in inputs/ (read-only). There is \
                          no network. Returns the exit code and what was printed.",
            parameters: json!({
                "type": "object",
                "properties": {
                    "script": {"type": "string", "description": "One or more lines of bash"},
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
        Self { spec, script: Script { sandbox, interpreter: Interpreter::Bash } }
    }
}

impl Tool for Shell {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.script.run(invocation).boxed()
    }

    fn unavailable(&self) -> Option<String> {
        unavailable(&self.script.sandbox)
    }
}
