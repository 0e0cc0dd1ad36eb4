//! The programs of an app's tab API, as processes, copied from the page.

mod ends;
mod faults;

use std::path::Path;
use std::process::Stdio;

use e2e::console::{EMAIL, Session};
use e2e::{Front, Process, Service, Stack};
use serde_json::json;
use shared::testing::{WAIT_LIMIT, eventually};
use tokio::process::Command;

/// A program of the page: its id there, the file that it is saved as, and the interpreter.
#[derive(Clone, Copy)]
struct Language {
    id: &'static str,
    file: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language { id: "curl", file: "run.sh" },
    Language { id: "python", file: "run.py" },
    Language { id: "javascript", file: "run.mjs" },
];

impl Language {
    fn interpreter(self) -> String {
        match self.id {
            "curl" => "bash".to_owned(),
            "python" => "python3".to_owned(),
            _ => std::env::var("CAPI_NODE").unwrap_or_else(|_| "node".to_owned()),
        }
    }
}

/// The services behind a proxy, whose address is the public one. Waits are short, so programs wait often.
pub(crate) struct Site {
    pub(crate) stack: Stack,
    pub(crate) front: Front,
    pub(crate) gateway: Process,
    _worker: Process,
    session: Session,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let front = Front::start().await;
        let mut stack = Stack::unlimited().await;
        stack.settings = stack.settings_with("CAPI_PUBLIC_URL", &front.url());
        let gateway = stack.start_with(Service::Gateway, "CAPI_MAX_WAIT_SECONDS", "1").await;
        front.forward_to(&gateway);
        let worker = stack.start(Service::RunWorker).await;
        let session = stack.session(&gateway, EMAIL).await;
        Self { stack, front, gateway, _worker: worker, session }
    }

    /// Imports an app whose prompt is its input `text`, with this default, and which can call tools; its id.
    pub(crate) async fn app(&self, text: &str, more: &str) -> String {
        let head = "name = 'App'\nprompt = '{{ text }}'\ntools = ['save_artifact']\n";
        let field = format!("[[inputs]]\nname = 'text'\ntype = 'text'\ndefault = {}\n", json!(text));
        self.stack.import(&format!("{head}{more}\n{field}")).await
    }

    /// The code of this id on the page of an app.
    pub(crate) async fn code(&self, app: &str, id: &str) -> String {
        let (status, page) =
            self.stack.page(&self.gateway, &format!("/apps/{app}/api"), &self.session.cookie).await;
        assert_eq!(status, 200, "{page}");
        let (_, rest) = page.split_once(&format!("<pre id=\"code-{id}\" tabindex=\"0\">")).unwrap();
        let code = rest.split_once("</pre>").unwrap().0;
        [("&#39;", "'"), ("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
            .iter()
            .fold(code.to_owned(), |code, (from, to)| code.replace(from, to))
    }

    /// Runs the page's program of an app in this folder.
    async fn run(&self, app: &str, language: Language, dir: &Path) -> Ended {
        self.run_with_key(app, language, dir, &self.stack.key).await
    }

    async fn run_with_key(&self, app: &str, language: Language, dir: &Path, key: &str) -> Ended {
        std::fs::write(dir.join(language.file), self.code(app, language.id).await).unwrap();
        let mut command = Command::new(language.interpreter());
        command.arg(language.file).current_dir(dir).env_clear();
        command.envs([("PATH", std::env::var("PATH").unwrap().as_str()), ("CAPI_API_KEY", key)]);
        Ended::of(&mut command).await
    }

    /// Waits until clients have asked so often whether runs are over.
    pub(crate) async fn waits(&self, count: usize) {
        eventually("the clients wait", async || (self.front.count("?wait=") >= count).then_some(())).await;
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) async fn of(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(WAIT_LIMIT, command).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The run's id, as the program printed it.
    fn run(&self) -> &str {
        let line = self.err.lines().find_map(|line| line.strip_prefix("run "));
        line.unwrap_or_else(|| panic!("it names the run: {self:?}"))
    }
}
