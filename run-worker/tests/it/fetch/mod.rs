//! `fetch_url` against a server on loopback: what it reads, what it saves, and the rules at each hop.

mod reads;
mod rules;
mod saves;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use run_worker::egress::{CallEgress, Egress};
use run_worker::pictures::Pictures;
use run_worker::sandbox::{Parts, Sandbox};
use run_worker::tools::{Files, Invocation, Output, RunSearch, SourceIds, ToolError, ToolParts, Tools};
use run_worker::workspace::{Home, Quota, Workspace};
use serde_json::{Value, json};
use shared::apps::FetchRules;
use shared::ids::RunId;
use shared::net::ip_policy::IpPolicy;
use shared::storage::Artifacts;
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;

const QUOTA: Quota = Quota { bytes: 8 << 20, entries: 100, depth: 5 };

/// A directory that every user can enter: the sandbox's user must.
fn place() -> (TempDir, Arc<Home>) {
    let dir = tempfile::Builder::new().prefix("capi-fetch-").tempdir_in("/var/tmp").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let home = Arc::new(Home::make(dir.path(), 65_533).unwrap());
    (dir, home)
}

struct Rig {
    tools: Tools,
    workspace: Workspace,
    ids: Arc<SourceIds>,
    egress: Arc<Egress>,
    dir: TempDir,
}

impl Rig {
    /// Without a sandbox.
    fn new() -> Self {
        Self::with_rules(&FetchRules::default())
    }

    fn with_rules(rules: &FetchRules) -> Self {
        let (dir, home) = place();
        Self::of(rules, dir, &home, Sandbox::off())
    }

    /// With the sandbox and its Python.
    async fn with_sandbox() -> Self {
        let (dir, home) = place();
        let python = std::env::var_os("CAPI_TEST_SANDBOX_PYTHON").map(PathBuf::from);
        let entry = env!("CARGO_BIN_EXE_sandbox-entry").into();
        let parts = Parts { bwrap: "/usr/bin/bwrap".into(), entry, python, supervisor: None };
        let sandbox = Sandbox::open(&parts, &home).await;
        Self::of(&FetchRules::default(), dir, &home, sandbox)
    }

    fn of(rules: &FetchRules, dir: TempDir, home: &Arc<Home>, sandbox: Sandbox) -> Self {
        let store = url::Url::from_directory_path(dir.path().join("store")).unwrap();
        let tools = Tools::new(ToolParts {
            artifacts: Artifacts::open(&store).unwrap(),
            fetch_policy: IpPolicy::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]),
            sandbox: Arc::new(sandbox),
            search: None,
            pictures: Arc::new(Pictures::new("/nowhere".into())),
        });
        let workspace = Workspace::make(home, RunId::generate(), 1, QUOTA).unwrap();
        let egress = Arc::new(Egress::new(rules, &json!({}), &BTreeSet::new()));
        Self { tools, workspace, ids: Arc::default(), egress, dir }
    }

    async fn call(&self, arguments: Value) -> Result<Output, String> {
        let listed = ["fetch_url".to_owned()];
        let tool = self.tools.of(&listed).get("fetch_url").unwrap();
        let changes = tool.files_of(&arguments) == Files::Changes;
        assert_eq!(changes, arguments.get("save_to").is_some());
        let invocation = Invocation {
            run: RunId::generate(),
            id: Uuid::now_v7(),
            arguments,
            calls_end: Instant::now() + Duration::from_mins(10),
            workspace: Some(self.workspace.clone()),
            output_left: Arc::default(),
            egress: Arc::new(CallEgress::new(Arc::clone(&self.egress))),
            source_ids: Arc::clone(&self.ids),
            search: Arc::new(RunSearch::after(None, 0)),
            pictures_left: None,
        };
        let called = tool.call(invocation).await.map_err(|error| match error {
            ToolError::RespondToModel(why) => why,
            ToolError::Fatal(code, why) => panic!("{code:?} {why}"),
        });
        assert_eq!(self.beside(), ["inputs", "workspace"], "nothing is left beside the workspace");
        called
    }

    async fn text(&self, url: &str) -> String {
        self.call(json!({"url": url})).await.unwrap().text
    }

    async fn refusal(&self, arguments: Value) -> String {
        self.call(arguments).await.unwrap_err()
    }

    fn beside(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.workspace.private_path("")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn saved(&self, path: &str) -> PathBuf {
        self.workspace.mounts().workspace.join(path)
    }
}
