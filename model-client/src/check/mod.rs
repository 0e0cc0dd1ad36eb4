//! `gateway models check`: asks a model's server for all that capi needs from it. Reports what works, and
//! which settings to write.

mod basics;
mod inputs;
mod report;
mod schema;
#[cfg(test)]
mod tests;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::config::{Model, ModelSettings};
use tokio::time::timeout;

use self::report::{Finding, Outcome, heading, line, merged, settings_block};
use super::{Answer, Message, ModelClient, ModelError, Offered, Outlet, Request, ToolChoice, Words};

/// A small model on a slow machine answers within this time. A probe that needs longer says so.
const PROBE_DEADLINE: Duration = Duration::from_mins(2);
/// Tokens of one answer: enough for a model that thinks first.
const ANSWER_TOKENS: u32 = 1024;
/// What is said of the demo model instead of findings.
const DEMO: &str = "a script of capi, not a language model: it plays the sample apps, and needs no settings";

/// Reports each finding as soon as it is known, and then the settings to write. Returns whether the model
/// answered a plain question.
pub async fn check(model: &Model, say: &dyn Fn(&str)) -> bool {
    if model.is_demo() {
        say(&format!("{} (demo model)\n  {DEMO}", model.id));
        return true;
    }
    say(&heading(model));
    let client = match ModelClient::new(model) {
        Ok(client) => client,
        Err(error) => {
            say(&format!("  not asked: {error:#}"));
            return false;
        }
    };
    let asker = Asker { client: &client, file: client.settings() };
    let mut findings = Findings { say, settings: Vec::new() };
    if !findings.add("plain answer", basics::plain(&asker)).await {
        say("The rest was not tried, because the model gave no plain answer.");
        return false;
    }
    probe(&asker, &mut findings).await;
    let lines = client.learned().into_iter().chain(findings.settings);
    say(&settings_block(&merged(lines)));
    true
}

async fn probe(asker: &Asker<'_>, findings: &mut Findings<'_>) {
    findings.add("stream", basics::stream(asker)).await;
    findings.add("instructions", basics::instructions(asker)).await;
    let calls = findings.add("tool call", tools::call(asker)).await;
    findings.add("two calls at once", tools::two_calls(asker, calls)).await;
    findings.add("call without arguments", tools::without_arguments(asker, calls)).await;
    findings.add("JSON schema", schema::alone(asker, calls)).await;
    findings.add("tools with a schema", schema::with_tools(asker, calls)).await;
    findings.add("picture", inputs::picture(asker)).await;
    findings.add("usage", basics::usage(asker)).await;
    findings.add("too long input", inputs::too_long(asker)).await;
}

/// What all probes use.
struct Asker<'c> {
    client: &'c ModelClient,
    /// What the models file and the preset say. The client's own settings also have its corrections.
    file: Arc<ModelSettings>,
}

impl Asker<'_> {
    async fn ask(
        &self,
        messages: &[Message],
        tools: &[Offered<'_>],
        schema: Option<&Value>,
    ) -> Result<Answer, ModelError> {
        let request = Request {
            messages,
            tools,
            schema,
            max_tokens: Some(ANSWER_TOKENS),
            tool_choice: ToolChoice::Auto,
        };
        self.client.ask(request, Words::new(&Unheard)).await
    }
}

/// Drops the words of a stream.
struct Unheard;

impl Outlet for Unheard {
    fn is_watched(&self) -> bool {
        false
    }

    fn send(&self, _: String) {}
}

/// What the probes found so far.
struct Findings<'s> {
    say: &'s dyn Fn(&str),
    settings: Vec<String>,
}

impl Findings<'_> {
    /// Waits for the probe and says what it found. Returns whether it works.
    async fn add(&mut self, label: &str, probe: impl Future<Output = Result<Finding, ModelError>>) -> bool {
        let late = || {
            let late = format!("no answer within {} s", PROBE_DEADLINE.as_secs());
            Finding::new(Outcome::Unknown(late))
        };
        let found = timeout(PROBE_DEADLINE, probe).await;
        let finding = found.map_or_else(|_| late(), |found| found.unwrap_or_else(Finding::from));
        (self.say)(&line(label, &finding.outcome));
        self.settings.extend(finding.setting);
        matches!(finding.outcome, Outcome::Works(_))
    }
}

/// A conversation of one question.
fn question(text: &str) -> Vec<Message> {
    vec![Message::user(text.to_owned())]
}
