//! The sample app Report: the demo model plays it, with a search of the sample pages.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Process, Stack};
use serde_json::json;

/// The time limit of the sample, and time to start.
const ENDS_WITHIN: Duration = Duration::from_mins(11);
const QUESTION: &str = "Was the electric ferry of Norrvik worth it?";
/// Wide enough to read the report.
const DOTS_PER_INCH: &str = "80";

/// What a run of the sample left.
pub(crate) struct SampleRun {
    pub(crate) pages: [(&'static str, String); 4],
    report: Vec<u8>,
}

impl SampleRun {
    /// Runs the sample to its end.
    pub(crate) async fn play(stack: &Stack, gateway: &Process) -> Self {
        let app = stack.import_sample("report").await;
        let body = json!({"appId": app, "inputs": {"question": QUESTION}, "chatModelId": "demo"});
        let id = stack.create_run_of(gateway, &body).await;
        let run = stack.ended_within(ENDS_WITHIN, gateway, &id).await;
        assert_eq!(run["status"], "completed", "{run}");
        let (_, report) = stack.artifact(gateway, &run, "report.pdf").await;
        let pages = [
            ("sample-run", format!("/runs/{id}")),
            ("sample-runs", format!("/apps/{app}/runs")),
            ("sample-run-form", format!("/apps/{app}?from={id}")),
            ("sample-edit", format!("/apps/{app}/edit")),
        ];
        Self { pages, report }
    }

    /// Saves the report and, if poppler is there, a picture of its first page.
    pub(crate) fn save_report(&self, dir: &Path) -> anyhow::Result<()> {
        let file = dir.join("report.pdf");
        std::fs::write(&file, &self.report)?;
        let mut draw = Command::new("pdftoppm");
        draw.args(["-png", "-singlefile", "-r", DOTS_PER_INCH]).arg(&file).arg(dir.join("report"));
        match draw.status() {
            Ok(status) => anyhow::ensure!(status.success(), "pdftoppm cannot draw the report: {status}"),
            Err(error) => println!("no picture of report.pdf: pdftoppm does not start: {error}"),
        }
        Ok(())
    }
}
