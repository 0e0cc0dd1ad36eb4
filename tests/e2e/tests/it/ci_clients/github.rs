//! The composite action and the workflow of the tab API.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::{Fault, Signal};
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};
use shared::testing::{WAIT_LIMIT, eventually};

use super::{bash, clients, yaml};
use crate::snippets::{Ended, Site};

/// A runner of GitHub with one step.
pub(super) struct Runner {
    pub(super) dir: tempfile::TempDir,
    env: BTreeMap<String, String>,
    /// The program of the step, and how bash is called for it.
    script: String,
    arguments: &'static [&'static str],
}

impl Runner {
    fn new(env: &Value, script: &Value, arguments: &'static [&'static str], values: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(path("temp")).unwrap();
        let mut all: BTreeMap<String, String> = [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("CI", "true".to_owned()),
            ("GITHUB_ACTION_PATH", clients().join("github").display().to_string()),
            ("GITHUB_OUTPUT", path("output")),
            ("GITHUB_ENV", path("env")),
            ("GITHUB_STEP_SUMMARY", path("summary")),
            ("RUNNER_TEMP", path("temp")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for (name, value) in env.as_object().unwrap() {
            // An expression is the whole value or no part of it.
            let value = value.as_str().unwrap();
            let expression = value.strip_prefix("${{ ").and_then(|rest| rest.strip_suffix(" }}"));
            let given = expression.map(|of| {
                values.iter().find(|(name, _)| *name == of).unwrap_or_else(|| panic!("no value for {of}")).1
            });
            all.insert(name.clone(), given.unwrap_or(value).to_owned());
        }
        std::fs::write(path("script.sh"), script.as_str().unwrap()).unwrap();
        Self { script: path("script.sh"), dir, env: all, arguments }
    }

    /// The step of the composite action with these inputs; the others have their defaults.
    pub(super) async fn action(site: &Site, app: &str, inputs: &[(&str, &str)]) -> Self {
        let action = yaml(&std::fs::read_to_string(clients().join("github/action.yml")).unwrap()).await;
        let url = site.front.url();
        let mut given = inputs.to_vec();
        given.extend([("url", url.as_str()), ("api-key", &site.stack.key), ("app", app)]);
        let values: Vec<_> = action["inputs"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, input)| {
                let value = given.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
                let value = value.or(input["default"].as_str());
                (format!("inputs.{name}"), value.unwrap().to_owned())
            })
            .collect();
        assert!(given.iter().all(|(name, _)| action["inputs"].get(name).is_some()), "{given:?}");
        let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let step = &action["runs"]["steps"][0];
        assert_eq!((&action["runs"]["using"], &step["shell"]), (&"composite".into(), &"bash".into()));
        Self::new(&step["env"], &step["run"], &["--noprofile", "--norc", "-eo", "pipefail"], &values)
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = bash(self.dir.path(), &self.env);
        command.args(self.arguments).arg(&self.script);
        command
    }

    async fn run(&self) -> Ended {
        Ended::of(&mut self.command()).await
    }

    /// Starts it, and sends it a signal as soon as `ready`; how it ended, and how long after the signal. Like
    /// GitHub, it signals only the process that it started.
    async fn interrupted(&self, signal: Signal, ready: impl Future<Output = ()>) -> (Ended, Duration) {
        let child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        ready.await;
        let sent = Instant::now();
        kill_process(pid, signal).unwrap();
        let output = tokio::time::timeout(WAIT_LIMIT, child.wait_with_output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let ended =
            Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
        (ended, sent.elapsed())
    }

    /// The outputs of the step, as the runner reads them.
    fn outputs(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(self.dir.path().join("output")).unwrap_or_default();
        let mut lines = text.split('\n');
        let mut outputs = BTreeMap::new();
        while let Some(head) = lines.next().filter(|head| !head.is_empty()) {
            let (name, delimiter) = head.split_once("<<").unwrap();
            let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            outputs.insert(name.to_owned(), value.join("\n"));
        }
        outputs
    }

    fn summary(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("summary")).unwrap_or_default()
    }
}

/// The commands that the runner obeys in a log. It reads `::name::` at the beginning of a line and `##[name]`
/// anywhere, but nothing between `::stop-commands::TOKEN` and `::TOKEN::`.
fn obeyed(log: &str) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), None);
    for line in log.lines() {
        let command = line.trim_start().strip_prefix("::").and_then(|rest| rest.split_once("::"));
        if let Some(stop) = &token {
            if command.is_some_and(|(name, _)| name == stop) {
                token = None;
            }
        } else if let Some(("stop-commands", stop)) = command {
            token = Some(stop.to_owned());
        } else if command.is_some() || line.contains("##[") {
            found.push(line.to_owned());
        }
    }
    found
}

const ATTACK: &str = "a\n::set-output name=x::y\n::add-mask::b\n##[error]c\n::stop-commands::z\n::z::\n\
                      EOF\ncapi_\nresult<<X\n```\n<img src=x>\u{1b}[2J %0A\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_action_hands_over_everything_and_obeys_no_output_of_a_model() {
    let site = Site::start().await;
    let app = site.app("x", "[[inputs]]\nname = \"table\"\ntype = \"file\"\n").await;
    let save = json!({"title": "../a.txt", "content": "one"}).to_string();
    let script = json!([{"call": [["save_artifact", save]]}, {"say": ATTACK}]);
    let inputs = json!({"text": format!("SCRIPT {script}")}).to_string();
    let given = [
        ("inputs", inputs.as_str()),
        ("files", "table=sub dir/the table.csv\n"),
        ("metadata", r#"{"commit": "7f3a"}"#),
    ];
    let runner = Runner::action(&site, &app, &given).await;
    std::fs::create_dir(runner.dir.path().join("sub dir")).unwrap();
    std::fs::write(runner.dir.path().join("sub dir/the table.csv"), "a,b\n").unwrap();
    site.front.next(&[Fault::Unavailable(1), Fault::AnswerLost]);
    let ended = runner.run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(obeyed(&ended.out), [format!("::add-mask::{}", site.stack.key)], "{}", ended.out);
    assert!(!ended.out.contains('\u{1b}') && ended.err.is_empty(), "{ended:?}");

    let outputs = runner.outputs();
    let run = site.stack.get(&site.gateway, &format!("/api/v1/runs/{}", outputs["run-id"])).await.body;
    assert_eq!((outputs["status"].as_str(), outputs["error-code"].as_str()), ("completed", ""));
    assert_eq!(outputs["result"], ATTACK);
    assert_eq!((&run["metadata"]["commit"], &run["files"][0]["size"]), (&"7f3a".into(), &4.into()), "{run}");
    assert_eq!(run["inputs"]["table"], "inputs/the table.csv");
    let link = format!("{}/runs/{}", site.front.url(), outputs["run-id"]);
    assert_eq!(outputs["console-url"], link);
    let folder = Path::new(&outputs["folder"]);
    assert_eq!(std::fs::read_to_string(folder.join("artifacts/_a.txt")).unwrap(), "one");
    assert_eq!(std::fs::read_to_string(folder.join("result.txt")).unwrap(), ATTACK);
    let summary = runner.summary();
    assert!(summary.starts_with("### App\n\n[Run ") && summary.contains(&format!("]({link})")));
    assert!(summary.contains("\ncompleted, artifacts: 1\n"), "{summary}");
    assert!(summary.contains("\n````text\na\n") && summary.trim_end().ends_with("\n````"), "{summary}");
    assert!(!runner.dir.path().join("env").exists(), "it sets no variables of later steps");
    let all = site.front.take_asked();
    assert_eq!(all.iter().filter(|asked| asked.line.starts_with("POST")).count(), 3, "{all:?}");
    assert_eq!(site.stack.text("SELECT count(*)::text AS text FROM runs").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_and_a_refused_request_are_annotated() {
    let site = Site::start().await;
    let app = site.app("STATUS-401", "").await;
    let runner = Runner::action(&site, &app, &[]).await;
    let ended = runner.run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(obeyed(&ended.out)[1].starts_with("::error title=capi::model_auth_failed: "), "{ended:?}");
    let outputs = runner.outputs();
    assert_eq!((outputs["status"].as_str(), outputs["error-code"].as_str()), ("failed", "model_auth_failed"));
    assert!(runner.summary().contains("model_auth_failed: "));

    for (name, value, code, words) in [
        ("api-key", site.stack.mistyped_key().as_str(), 4, "(request "),
        ("api-key", "", 4, "forks get no secrets"),
        ("inputs", "{", 2, "CAPI_INPUTS is not JSON"),
        ("inputs", "[]", 2, "(request "),
        ("files", "table=missing.csv", 2, "cannot read missing.csv"),
        ("timeout-seconds", "soon", 2, "CAPI_TIMEOUT must be"),
        ("app", "", 2, "CAPI_APP is not set"),
    ] {
        let runner = Runner::action(&site, &app, &[(name, value)]).await;
        let ended = runner.run().await;
        assert_eq!(ended.code, Some(code), "{name} {value}: {ended:?}");
        let last = obeyed(&ended.out).pop().unwrap();
        assert!(last.starts_with("::error title=capi::") && last.contains(words), "{name}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_step_cancels_its_run_before_github_kills_it() {
    const KILLED_AFTER: Duration = Duration::from_millis(7500);
    let site = Site::start().await;
    let app = site.app("HOLD", "").await;
    let status = async |runs: &str| {
        let statuses = site.stack.texts("SELECT status::text AS text FROM runs ORDER BY id").await;
        assert_eq!(statuses.join(" "), runs);
    };
    for (signal, runs) in [(Signal::INT, "cancelled"), (Signal::TERM, "cancelled cancelled")] {
        let runner = Runner::action(&site, &app, &[]).await;
        let _ = site.front.take_asked();
        let (ended, after) = runner.interrupted(signal, site.waits(2)).await;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.out.contains("and so was the run") && after < KILLED_AFTER, "{after:?} {ended:?}");
        status(runs).await;
    }

    // The answer to the create has not arrived: the script does not know the run.
    let runner = Runner::action(&site, &app, &[]).await;
    site.front.next(&[Fault::AnswerHeld]);
    let created = eventually("the run exists", async || {
        (site.stack.text("SELECT count(*)::text AS text FROM runs").await == "3").then_some(())
    });
    let (ended, after) = runner.interrupted(Signal::INT, created).await;
    assert!(ended.code == Some(3) && after < KILLED_AFTER, "{after:?} {ended:?}");
    status("cancelled cancelled cancelled").await;

    // The run is over its time.
    let runner = Runner::action(&site, &app, &[("timeout-seconds", "2")]).await;
    let ended = runner.run().await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    status("cancelled cancelled cancelled cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workflow_of_the_page_runs_the_script_of_the_gateway() {
    let site = Site::start().await;
    let text = "it's ${{ secrets.CAPI_API_KEY }} $HOME: # \"x\"";
    let app = site.app(text, "[[inputs]]\nname = \"table\"\ntype = \"file\"\n").await;
    let workflow = yaml(&site.code(&app, "github").await).await;
    let steps = workflow["jobs"]["capi"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["id"] == "capi").unwrap();
    let secrets = [("secrets.CAPI_API_KEY", site.stack.key.as_str())];
    let runner = Runner::new(&step["env"], &step["run"], &["-e"], &secrets);
    std::fs::write(runner.dir.path().join("table.csv"), "a\n").unwrap();
    let ended = runner.run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let outputs = runner.outputs();
    let run = site.stack.get(&site.gateway, &format!("/api/v1/runs/{}", outputs["run-id"])).await.body;
    assert_eq!(run["inputs"], json!({"text": text, "table": "inputs/table.csv"}));
    let used: Vec<_> = steps.iter().filter_map(|step| step["uses"].as_str()).collect();
    assert_eq!(used, ["actions/checkout@v4", "actions/upload-artifact@v4"], "nothing of unknown owners");

    let app = site.app("HOLD", "").await;
    let workflow = yaml(&site.code(&app, "github").await).await;
    let step = &workflow["jobs"]["capi"]["steps"][1];
    let runner = Runner::new(&step["env"], &step["run"], &["-e"], &secrets);
    let _ = site.front.take_asked();
    let (ended, _) = runner.interrupted(Signal::INT, site.waits(1)).await;
    assert_eq!(ended.code, Some(3), "the script is the first process of the step: {ended:?}");
}
