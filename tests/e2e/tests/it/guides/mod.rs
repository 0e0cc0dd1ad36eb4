//! The code blocks of docs/guides do what the text says: a test runs them in order, as a reader pastes them.
//! A block with the mark `skip` after its language is not executed, and few have it.

mod blocks;
mod readme;
mod receivers;
mod sample;
mod session;

use e2e::{Process, Service, Stack, free_ports};
use serde_json::{Value, json};
use shared::config::{ModelsFile, SearchFile};
use shared::testing::{WebhookReceiver, eventually};

use blocks::{Block, blocks_of, names, source_at, source_of};
use sample::assert_like;
use session::Session;

/// All blocks of all guides that no test executes.
const MOST_SKIPPED: usize = 3;

/// The services that a reader of a guide has.
struct Installation {
    stack: Stack,
    gateway: Process,
    _services: [Process; 2],
    extract: String,
}

impl Installation {
    async fn start() -> Self {
        let mut stack = Stack::unlimited().await;
        // The links of artifacts lead to the gateway, so its address is known before it starts.
        let [port] = free_ports();
        stack.settings = stack.settings_with("CAPI_HTTP_ADDR", &format!("127.0.0.1:{port}"));
        stack.settings = stack.settings_with("CAPI_PUBLIC_URL", &format!("http://127.0.0.1:{port}"));
        let facts = json!({"name": "Ada Lovelace", "age": 36, "city": "London"}).to_string();
        stack.model.script("Ada Lovelace", &json!([{"say": facts}]));
        let saved = json!({"title": "sales.txt", "media_type": "text/plain", "content": "Jan 3 Mar 9"});
        stack.model.script(
            "How did sales develop?",
            &json!([{"call": [["save_artifact", saved.to_string()]]}, {"say": "They grew."}]),
        );
        let gateway = stack.start(Service::Gateway).await;
        let services = [stack.start(Service::RunWorker).await, stack.start(Service::WebhookDispatcher).await];
        let extract = stack.import(&sample_app("extract")).await;
        stack.import(&sample_app("chart")).await;
        Self { stack, gateway, _services: services, extract }
    }

    fn url(&self) -> String {
        self.gateway.url()
    }

    /// A session with the variables that the guides name.
    fn session(&self) -> Session {
        Session::new([
            ("CAPI_URL", self.url()),
            ("CAPI_API_KEY", self.stack.key.clone()),
            ("CAPI_APP_ID", self.extract.clone()),
        ])
    }
}

fn sample_app(name: &str) -> String {
    let path = format!("{}/../../deploy/apps/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The JSON blocks.
fn samples(blocks: &[Block]) -> Vec<Value> {
    let json = blocks.iter().filter(|block| block.language == "json");
    json.map(|block| serde_json::from_str(&block.text).unwrap()).collect()
}

fn parsed(output: &str) -> Value {
    serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn blocks_are_well_formed_and_few_are_skipped() {
    let mut skipped = 0;
    for name in names() {
        for Block { language, text, line, marks } in blocks_of(&source_of(&name)) {
            let at = format!("{name}:{line}");
            assert!(marks.is_empty() || marks == ["skip"], "{at}: {marks:?}");
            match language.as_str() {
                "json" => drop(parsed(&text)),
                // A text is what a command printed.
                "toml" | "text" => assert!(!text.is_empty(), "{at}"),
                "sh" | "python" | "js" | "go" | "ruby" | "php" => skipped += marks.len(),
                other => panic!("{at}: no test executes {other:?}"),
            }
        }
    }
    assert!(skipped <= MOST_SKIPPED, "{skipped} blocks are skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_runs_as_it_stands() {
    let installation = Installation::start().await;
    let blocks = blocks_of(&source_of("quickstart"));
    let outputs = installation.session().run(&blocks).await;
    let [run, python, js, job] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_like(&samples(&blocks)[0], &parsed(run));
    assert_eq!((python.as_str(), js.as_str()), ("Ada Lovelace\n", "Ada Lovelace\n"));
    assert!(job.contains(r#""city": "London""#), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_to_wait_run_as_they_stand() {
    let installation = Installation::start().await;
    let blocks = blocks_of(&source_of("waiting"));
    let outputs = installation.session().run(&blocks).await;
    let [status, stream, types, created] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(status, "completed\n");
    assert!(stream.contains("event: run.completed\n"), "{stream}");
    let types: Vec<_> = types.lines().collect();
    assert!(types.len() > 3 && types[0] == "1 run.created", "{types:?}");
    assert!(types.last().unwrap().ends_with(" run.completed"), "{types:?}");
    let with_webhook = parsed(created);
    // The address of the guide belongs to no receiver.
    let id = with_webhook["id"].as_str().unwrap();
    let run = installation.stack.ended(&installation.gateway, id).await;
    assert_eq!(run["metadata"], json!({"order": "17"}), "{run}");
    let event = json!({"type": "run.completed", "timestamp": run["completedAt"], "data": run});
    assert_like(&samples(&blocks)[0], &event);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_artifacts_run_as_they_stand() {
    let installation = Installation::start().await;
    let blocks = blocks_of(&source_of("files"));
    let outputs = installation.session().run(&blocks).await;
    let [_, created, js, artifacts, download, saved] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_like(&samples(&blocks)[0], &parsed(created));
    assert!(js.starts_with("202 "), "{js}");
    assert_like(&samples(&blocks)[1], &parsed(artifacts));
    assert!(download.contains(" 11 "), "{download}");
    assert_eq!(saved, "artifacts/0-sales.txt 11\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_retries_run_as_they_stand() {
    let installation = Installation::start().await;
    let blocks = blocks_of(&source_of("errors"));
    let outputs = installation.session().run(&blocks).await;
    let [problem, twice, python] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_like(&samples(&blocks)[0], &parsed(problem));
    let ids: Vec<_> = twice.lines().collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "one run: {twice}");
    assert!(python.contains(" pending") || python.contains(" running"), "{python}");
    let id = python.split(' ').next().unwrap();
    installation.stack.ended(&installation.gateway, id).await;
    let failed = installation.stack.create_run(&installation.gateway, "STATUS-401", None).await;
    let failed = installation.stack.ended(&installation.gateway, &failed).await;
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&samples(&blocks)[1]), members(&failed["error"]));
}

/// The function of the guide repeats a create with the same key after a 503.
#[tokio::test(flavor = "multi_thread")]
async fn the_function_of_the_guide_repeats_a_create() {
    let busy = WebhookReceiver::saying([503, 200], br#"{"id": "one", "status": "pending"}"#).await;
    let session = Session::new([
        ("CAPI_URL", busy.url()),
        ("CAPI_API_KEY", "capi_x".to_owned()),
        ("CAPI_APP_ID", "app".to_owned()),
    ]);
    let mut blocks = blocks_of(&source_of("errors"));
    blocks.retain(|block| block.language == "python");
    assert_eq!(session.run(&blocks).await, ["one pending\n"]);
    let keys: Vec<_> =
        busy.received().into_iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_can_be_asked_for() {
    let installation = Installation::start().await;
    let outputs = installation.session().run(&blocks_of(&source_of("limits"))).await;
    let account = parsed(&outputs[0]);
    assert!(account["limits"].is_object() && account["usage"].is_object(), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_as_files_run_as_they_stand() {
    let installation = Installation::start().await;
    let key = ["key", "create", "--name", "deploy", "--scope", "apps:write"];
    let key = installation.stack.on_account(&key).await;
    let session = installation.session().with("CAPI_APPS_KEY", &key);
    let outputs = session.run(&blocks_of(&source_of("apps"))).await;
    let [_, changed, _, archived] = outputs.as_slice() else { panic!("{outputs:?}") };
    let changed = parsed(changed);
    assert_eq!((&changed["version"], &changed["limits"]["seconds"]), (&2.into(), &60.into()), "{changed}");
    let archived = parsed(archived);
    assert_eq!(archived["name"], "Extract for invoices", "{archived}");
    assert!(archived["id"] != changed["id"] && archived["archived"] == true, "{archived}");
}

/// The app file of the guide is the sample's, without its comments.
#[test]
fn the_app_file_is_the_sample() {
    let guide = blocks_of(&source_of("apps"));
    let shown = &guide.iter().find(|block| block.language == "toml").unwrap().text;
    let sample = sample_app("extract");
    let without_comments: Vec<_> = sample.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), without_comments);
}

/// The ids of the models in a models file.
fn ids_of(models: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("models.toml");
    std::fs::write(&path, models).unwrap();
    let file = ModelsFile::read(&path).unwrap_or_else(|error| panic!("{error}: {models}"));
    file.all().iter().map(|model| model.id.clone()).collect()
}

/// All blocks of the guide together are one models file.
#[test]
fn the_models_of_the_guide_can_be_read() {
    let blocks = blocks_of(&source_of("models"));
    let models = blocks.iter().filter(|block| block.text.starts_with("[[models]]"));
    let models: String = models.map(|block| block.text.as_str()).collect();
    assert!(ids_of(&models).len() > 15, "the blocks are found");
}

/// Without the sign of a comment, the optional settings of the example can be read too.
#[test]
fn the_example_of_a_models_file_can_be_read() {
    let example = source_at("deploy/models.example.toml");
    assert_eq!(ids_of(&example), ["gpt"]);
    let is_setting = |line: &&str| line.starts_with("[[") || line.contains(" = ");
    let uncommented = |line| str::strip_prefix(line, "# ").filter(is_setting).unwrap_or(line);
    let whole: String = example.lines().map(|line| uncommented(line).to_owned() + "\n").collect();
    assert_eq!(ids_of(&whole), ["gpt", "local", "demo"]);
    assert!(whole.contains("\nmax_repeated_bytes"), "{whole}");
}

/// The names of the providers in a file for CAPI_SEARCH.
fn providers_of(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("search.toml");
    std::fs::write(&path, text).unwrap();
    let file = SearchFile::read(Some(&path)).unwrap_or_else(|error| panic!("{error}: {text}"));
    file.names().map(str::to_owned).collect()
}

/// The blocks of the guide, and the example with its comments removed.
#[test]
fn the_search_providers_of_guide_and_example_can_be_read() {
    let blocks = blocks_of(&source_of("search"));
    let files = blocks.iter().filter(|block| block.text.starts_with("[[providers]]"));
    let files: Vec<_> = files.map(|block| providers_of(&block.text)).collect();
    assert_eq!(files, [vec!["brave", "inside"], vec!["local"]]);
    let example = source_at("deploy/search.example.toml");
    assert_eq!(providers_of(&example), ["brave"]);
    let is_setting = |line: &&str| line.starts_with("[[") || line.contains(" = ");
    let uncommented = |line| str::strip_prefix(line, "# ").filter(is_setting).unwrap_or(line);
    let whole: String = example.lines().map(|line| uncommented(line).to_owned() + "\n").collect();
    assert_eq!(providers_of(&whole), ["brave", "tavily", "serper", "searxng", "handbook"]);
}

/// Waits until the webhook of a run is delivered; the run.
async fn delivered(installation: &Installation, id: &str) -> Value {
    eventually("the webhook is delivered", async || {
        let run = installation.stack.get(&installation.gateway, &format!("/api/v1/runs/{id}")).await.body;
        (run["webhook"]["status"] == "delivered").then_some(run)
    })
    .await
}
