//! The services of one test, and its runs.

use e2e::form::Part;
use e2e::{Process, Service, Stack};
use serde_json::{Value, json};

use super::told::Told;
use super::{Call, ENDS_WITHIN};

/// The prompt that the scripts of these tests answer.
const PROMPT: &str = "Do the task.";

/// A stack with a gateway and a worker.
pub(super) struct Services {
    pub(super) stack: Stack,
    pub(super) gateway: Process,
    pub(super) worker: Process,
}

/// A run that is over.
pub(super) struct Ended {
    /// As the API shows it.
    pub(super) run: Value,
    /// The results of its calls, in the model's last request.
    pub(super) told: Vec<Told>,
}

impl Services {
    pub(super) async fn start() -> Self {
        Self::start_in(Stack::unlimited().await).await
    }

    /// The same in a stack whose settings were changed.
    pub(super) async fn start_in(stack: Stack) -> Self {
        // Tests count what the model is asked, and no worker dies.
        let stack = stack.with_usual_leases();
        let (gateway, worker) = (stack.start(Service::Gateway).await, stack.start(Service::RunWorker).await);
        Self { stack, gateway, worker }
    }

    /// A run of an app that may call every tool, with these files, to its end. The model makes these calls
    /// one after another, and then answers.
    pub(super) async fn run(&self, files: &[(&str, &[u8])], calls: &[Call<'_>]) -> Ended {
        let app = self.stack.import_with_tools("").await;
        let ended = self.run_of(&app, files, &script(calls, "Done.")).await;
        assert_eq!(ended.run["status"], "completed", "{}\n{}", ended.run, self.worker.log());
        assert_eq!(ended.told.len(), calls.len(), "each call has a result");
        ended
    }

    /// A run of an app with the input `text` to its end, whatever the end is.
    pub(super) async fn run_of(&self, app: &str, files: &[(&str, &[u8])], script: &Value) -> Ended {
        let before = self.stack.model.asked().len();
        // The text of each run is another one, so that it has its own script.
        let text = format!("{PROMPT} Number {before}.");
        self.stack.model.script(&text, script);
        let inputs = json!({"text": text}).to_string();
        let names: Vec<_> =
            files.iter().map(|(name, _)| format!("name=\"files\"; filename=\"{name}\"")).collect();
        let mut parts: Vec<Part> = vec![("name=\"inputs\"", inputs.as_bytes())];
        parts.extend(names.iter().zip(files).map(|(name, (_, bytes))| (name.as_str(), *bytes)));
        let path = format!("/api/v1/apps/{app}/runs");
        let id = self.stack.create_run_by_form(&self.gateway, &path, &parts).await;
        let run = self.stack.ended_within(ENDS_WITHIN, &self.gateway, &id).await;
        let asked = self.stack.model.asked();
        let told = asked[before..].last().map(|(_, body)| Told::all(body)).unwrap_or_default();
        Ended { run, told }
    }

    /// The type and the bytes of the run's artifact of this title.
    pub(super) async fn artifact(&self, run: &Value, title: &str) -> (String, Vec<u8>) {
        self.stack.artifact(&self.gateway, run, title).await
    }
}

/// One step for each call, and an answer.
pub(super) fn script(calls: &[Call], answer: &str) -> Value {
    let steps = calls.iter().map(|(tool, arguments)| json!({"call": [[tool, arguments.to_string()]]}));
    steps.chain([json!({"say": answer})]).collect()
}
