//! `current_time`: the date and time, which a model does not know.

use std::time::Duration;

use chrono::Utc;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};

pub(super) struct CurrentTime(Spec);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {}

impl CurrentTime {
    pub(super) fn new() -> Self {
        Self(Spec {
            name: "current_time",
            description: "Returns the current date and time in UTC, with the day of the week.".into(),
            parameters: arguments::schema::<Arguments>(),
            repeatable: true,
            files: Files::None,
            timeout: Duration::from_secs(1),
            max_result_bytes: 200,
        })
    }
}

impl Tool for CurrentTime {
    fn spec(&self) -> &Spec {
        &self.0
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        let text = || Utc::now().format("%A, %Y-%m-%dT%H:%M:%SZ (UTC)").to_string();
        ready(arguments::read(invocation.arguments).map(|Arguments {}| Output::of_text(text()))).boxed()
    }
}
