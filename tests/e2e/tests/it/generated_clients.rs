//! Clients that common generators make of the OpenAPI document compile, and do what programs do with the API:
//! create, wait, send files, list, read events, download, change apps, and verify webhooks. The programs are
//! in tests/e2e/clients.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use e2e::accounts::EMAIL;
use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::ids::ArtifactId;
use shared::testing::{WebhookReceiver, eventually};
use tokio::process::Command;

/// A generator, a compiler or a program that needs longer hangs.
const STEP: Duration = Duration::from_mins(3);

const FILE_APP: &str = "
name = \"Files\"
prompt = \"{{ question }} {{ table }}\"
tools = [\"read_file\"]
[[inputs]]
name = \"question\"
type = \"text\"
[[inputs]]
name = \"table\"
type = \"file\"
";

/// All services, a run with an artifact, and a webhook that arrived.
struct Scene {
    stack: Stack,
    gateway: Process,
    _others: [Process; 2],
    dir: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Scene {
    async fn prepare() -> Self {
        let stack = Stack::unlimited().await;
        let gateway = stack.start(Service::Gateway).await;
        let others = [stack.start(Service::RunWorker).await, stack.start(Service::WebhookDispatcher).await];
        let receiver = WebhookReceiver::start([]).await;
        let run = stack.create_run(&gateway, "hello", Some(&receiver.url())).await;
        stack.ended(&gateway, &run).await;
        let artifact = ArtifactId::generate();
        let bytes = Bytes::from("the bytes of the artifact");
        stack.add_artifact(run.parse().unwrap(), artifact, "text/plain", "a.txt", bytes).await;
        let sent = eventually("the webhook", async || receiver.received().pop()).await;
        let dir = tempfile::tempdir().unwrap();
        let webhook = dir.path().join("webhook.json");
        let body = String::from_utf8(sent.body.clone()).unwrap();
        std::fs::write(&webhook, json!({"headers": sent.headers, "body": body}).to_string()).unwrap();
        let file_app = stack.import(FILE_APP).await;
        let environment = vec![
            ("CAPI_URL", gateway.url()),
            ("CAPI_API_KEY", stack.create_key_with_all_scopes(EMAIL).await),
            ("CAPI_APP_ID", stack.app.to_string()),
            ("CAPI_FILE_APP_ID", file_app),
            ("CAPI_RUN_ID", run),
            ("CAPI_ARTIFACT_ID", artifact.to_string()),
            ("CAPI_WEBHOOK_FILE", webhook.display().to_string()),
            ("CAPI_WEBHOOK_SECRET", stack.webhook_secret().await),
        ];
        let document = stack.client().get(format!("{}/api/v1/openapi.json", gateway.url()));
        let document = document.send().await.unwrap().text().await.unwrap();
        std::fs::write(dir.path().join("openapi.json"), document).unwrap();
        Self { stack, gateway, _others: others, dir, environment }
    }

    /// Copies a file of tests/e2e/clients.
    fn copy(&self, name: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
        std::fs::copy(from, self.dir.path().join(name)).unwrap();
    }

    /// Runs a program in the folder. What it printed, and its warnings.
    async fn run(&self, program: &Path, arguments: &[&str]) -> (String, String) {
        let running = Command::new(program)
            .args(arguments)
            .current_dir(self.dir.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(STEP, running).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let warned = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} {arguments:?}: {said}{warned}", program.display());
        (said, warned)
    }

    /// What the client's program must have done.
    async fn check(&self, language: &str) {
        let metadata = format!("/api/v1/runs?metadata.customer={language}");
        let runs = self.stack.get(&self.gateway, &metadata).await.body;
        assert_eq!(runs["data"].as_array().map(Vec::len), Some(1), "{runs}");
        let sent = self.stack.text("SELECT string_agg(name, ',') AS text FROM run_files").await;
        assert_eq!(sent, "table.csv", "the file arrived");
        let app = self.stack.get(&self.gateway, &format!("/api/v1/apps/{}", self.stack.app)).await.body;
        assert_eq!((&app["version"], &app["description"]), (&json!(2), &json!(language)));
    }
}

fn tool(variable: &str) -> PathBuf {
    let set = std::env::var_os(variable);
    set.unwrap_or_else(|| panic!("{variable} is not set; run the tests through `make test`")).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typescript_client_compiles_and_works() {
    let scene = Scene::prepare().await;
    let (node, packages) = (tool("CAPI_NODE"), tool("CAPI_CLIENT_TOOLS_NODE").join("node_modules"));
    for file in ["client.ts", "tsconfig.json"] {
        scene.copy(file);
    }
    std::fs::write(scene.dir.path().join("package.json"), "{\"type\": \"module\"}").unwrap();
    std::os::unix::fs::symlink(&packages, scene.dir.path().join("node_modules")).unwrap();
    let program = |name: &str| packages.join(name).display().to_string();
    let generator = program("openapi-typescript/bin/cli.js");
    scene.run(&node, &[&generator, "openapi.json", "-o", "schema.ts"]).await;
    scene.run(&node, &[&program("typescript/bin/tsc"), "-p", "."]).await;
    assert_eq!(scene.run(&node, &["client.js"]).await.0, "done\n");
    scene.check("typescript").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_imports_and_works() {
    let scene = Scene::prepare().await;
    let python = tool("CAPI_CLIENT_TOOLS_PYTHON");
    for file in ["client.py", "generator.yml"] {
        scene.copy(file);
    }
    let generator = python.with_file_name("openapi-python-client");
    let generate = ["generate", "--path", "openapi.json", "--output-path", "capi_client"];
    let options = ["--meta", "none", "--config", "generator.yml"];
    let (_, warned) = scene.run(&generator, &[&generate[..], &options].concat()).await;
    // It makes nothing of the other form of an app file, and of everything else something.
    let warnings: Vec<_> = warned.lines().filter(|line| line.starts_with("WARNING")).collect();
    let expected = ["POST /api/v1/apps", "PUT /api/v1/apps/{appId}"];
    assert_eq!(warnings, expected.map(|path| format!("WARNING parsing {path} within apps.")), "{warned}");
    assert_eq!(warned.matches("Unsupported content type application/toml").count(), 2, "{warned}");
    assert!(!warned.contains("Unable to"), "{warned}");
    assert_eq!(scene.run(&python, &["client.py"]).await.0, "done\n");
    scene.check("python").await;
}
