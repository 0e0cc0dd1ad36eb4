//! The sample apps of deploy/apps do what they say: the demo model plays each with its inputs of
//! deploy/samples, with real tools and a real sandbox.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use e2e::accounts::EMAIL;
use e2e::{Process, Service, Stack, form, free_ports};
use serde_json::{Value, json};
use shared::testing::eventually;
use tokio::process::{Child, Command};

/// The time limits of the commands together, and time for the rest.
const ENDS_WITHIN: Duration = Duration::from_mins(17);

fn deploy(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy")).join(path)
}

fn sample(path: &str) -> Vec<u8> {
    std::fs::read(deploy("samples").join(path)).unwrap()
}

/// What `make up` starts, with the demo model beside the scripted one.
struct Trial {
    stack: Stack,
    gateway: Process,
    worker: Process,
    _pages: Child,
    dir: tempfile::TempDir,
}

impl Trial {
    async fn start() -> Self {
        let mut stack = Stack::unlimited().await;
        let models = stack.setting("CAPI_MODELS").to_owned();
        let mut text = std::fs::read_to_string(&models).unwrap();
        text.push_str("\n[[models]]\nid = \"demo\"\nname = \"Demo\"\nprovider = \"demo\"\n");
        std::fs::write(models, text).unwrap();
        let (pages, address) = serve_pages(&stack).await;
        let dir = tempfile::tempdir().unwrap();
        let search = dir.path().join("search.toml");
        let mut providers = String::from("[[providers]]\nprovider = \"local\"\n");
        let pages_dir = deploy("samples/pages").display().to_string();
        writeln!(providers, "path = '{pages_dir}'\nbase_url = \"{address}\"").unwrap();
        std::fs::write(&search, providers).unwrap();
        stack.settings = stack.settings_with("CAPI_SEARCH", &search.display().to_string());
        let gateway = stack.start(Service::Gateway).await;
        let worker = stack.start(Service::RunWorker).await;
        Self { stack, gateway, worker, _pages: pages, dir }
    }

    async fn import(&self, name: &str) -> String {
        let file = std::fs::read_to_string(deploy(&format!("apps/{name}.toml"))).unwrap();
        self.stack.cli(&["app", "import", "/dev/stdin", "--email", EMAIL], &file).await
    }

    /// Runs a sample with the demo model; the run, which is completed.
    async fn run(&self, name: &str, inputs: &Value, files: &[form::Part<'_>]) -> Value {
        let app = self.import(name).await;
        let inputs = inputs.to_string();
        let mut parts: Vec<form::Part> =
            vec![("name=\"inputs\"", inputs.as_bytes()), ("name=\"chatModelId\"", b"demo".as_slice())];
        parts.extend(files);
        let path = format!("/api/v1/apps/{app}/runs");
        let created = self.stack.post_form(&self.gateway, &path, None, &parts).await;
        assert_eq!(created.status, 202, "{created:?}");
        let id = created.body["id"].as_str().unwrap();
        let run = self.stack.ended_within(ENDS_WITHIN, &self.gateway, id).await;
        assert_eq!(run["status"], "completed", "{run} {}", self.worker.log());
        run
    }

    /// What the tools of a run returned.
    async fn told(&self, run: &Value) -> String {
        let path = format!("/api/v1/runs/{}/events?limit=500", run["id"].as_str().unwrap());
        self.stack.get(&self.gateway, &path).await.body["data"].to_string()
    }

    /// Saves the run's only artifact of this name; its path.
    async fn saved(&self, run: &Value, name: &str, media_type: &str) -> PathBuf {
        let artifacts = run["artifacts"].as_array().unwrap();
        let [artifact] = artifacts.as_slice() else { panic!("{run}") };
        assert_eq!(artifact["title"], name, "{artifact}");
        assert!(artifact["type"].as_str().unwrap().starts_with(media_type), "{artifact}");
        let link = artifact["downloadUrl"].as_str().unwrap().replace("http://capi.test", &self.gateway.url());
        let bytes = self.stack.client().get(link).send().await.unwrap().bytes().await.unwrap();
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs a program with the Python of the sandbox, outside of it; what it prints.
    async fn python(&self, program: &str, file: &Path) -> String {
        let python = format!("{}/bin/python3", self.stack.setting("CAPI_SANDBOX_PYTHON"));
        let ended = Command::new(python).args(["-c", program]).arg(file).output().await.unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }
}

/// A server of the sample pages, and its address.
async fn serve_pages(stack: &Stack) -> (Child, String) {
    let [port] = free_ports();
    let server = Command::new("python3")
        .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
        .arg(deploy("samples/pages"))
        .arg(port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let address = format!("http://127.0.0.1:{port}/");
    eventually("the pages are served", async || stack.client().get(&address).send().await.ok()).await;
    (server, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_model_draws_a_chart_and_fixes_a_program() {
    let trial = Trial::start().await;
    let models = trial.stack.get(&trial.gateway, "/api/v1/models").await.body;
    let is_demo = |model: &Value| (model["id"] == "demo") == (model["demo"] == true);
    assert!(models["data"].as_array().unwrap().iter().all(is_demo), "{models}");

    let table = sample("sales.csv");
    let table: form::Part = ("name=\"table\"; filename=\"sales.csv\"", &table);
    let run = trial.run("chart", &json!({"question": "How did 売上 develop?"}), &[table]).await;
    let text = run["result"]["text"].as_str().unwrap();
    assert!(text.contains("from 412 (1月) to 735 (12月)") && text.contains("6503"), "{text}");
    let chart = trial.saved(&run, "chart.png", "image/png").await;
    let colours = "import sys; from PIL import Image; print(len(Image.open(sys.argv[1]).getcolors(1 << 20)))";
    assert!(trial.python(colours, &chart).await.trim().parse::<u32>().unwrap() > 20, "it is not blank");
    let told = trial.told(&run).await;
    assert!(!told.contains("missing from font"), "the labels are no boxes: {told}");

    let (program, checks) = (sample("fix/average.py"), sample("fix/test_average.py"));
    let files: [form::Part; 2] = [
        ("name=\"files\"; filename=\"average.py\"", &program),
        ("name=\"files\"; filename=\"test_average.py\"", &checks),
    ];
    let run = trial.run("fix", &json!({}), &files).await;
    let fixed = trial.saved(&run, "average.py", "text/").await;
    let fixed = std::fs::read_to_string(fixed).unwrap();
    assert!(fixed.contains("/ len(numbers)") && fixed.contains("sorted(numbers)"), "{fixed}");
    let told = trial.told(&run).await;
    assert!(told.contains("2 failed") && told.contains("1 failed") && told.contains("3 passed"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_model_writes_a_cited_report() {
    let trial = Trial::start().await;
    let question = "Was the electric ferry of Norrvik worth it?";
    let run = trial.run("report", &json!({"question": question}), &[]).await;
    let text = run["result"]["text"].as_str().unwrap();
    assert!(text.contains("electric ferry") && text.contains('[') && text.contains("report.pdf"), "{text}");
    let report = trial.saved(&run, "report.pdf", "application/pdf").await;
    let read = "import sys, pypdf
print('\\n'.join(page.extract_text() for page in pypdf.PdfReader(sys.argv[1]).pages))";
    let words = trial.python(read, &report).await;
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(question) && words.contains("Sources"), "{words}");
    let read: Vec<_> = run["result"]["sources"].as_array().unwrap().iter().collect();
    let used = |how: &str| read.iter().filter(|source| source["how"] == how).count();
    assert!(used("cited") >= 2 && used("cited") + used("read") >= 3, "{run}");
    let cited = read.iter().filter(|source| source["how"] == "cited");
    for source in cited {
        assert!(words.contains(source["title"].as_str().unwrap()), "{source}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_model_reads_an_invoice_and_makes_slides() {
    let trial = Trial::start().await;
    let invoice = sample("invoice.pdf");
    let invoice: form::Part = ("name=\"invoice\"; filename=\"invoice.pdf\"", &invoice);
    let run = trial.run("invoice", &json!({}), &[invoice]).await;
    let data = &run["result"]["data"];
    assert_eq!((&data["number"], &data["total"]), (&json!("2026-0117"), &json!(1817.5)), "{data}");
    assert_eq!(
        (data["lines"].as_array().unwrap().len(), &data["problems"]),
        (3, &json!([])),
        "the sums are right: {data}"
    );

    let text = String::from_utf8(sample("slides.txt")).unwrap();
    let run = trial.run("slides", &json!({"title": "What capi does", "text": text}), &[]).await;
    let pptx = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
    let slides = trial.saved(&run, "slides.pptx", pptx).await;
    let titles = "import sys, pptx
print([slide.shapes.title.text for slide in pptx.Presentation(sys.argv[1]).slides])";
    let titles = trial.python(titles, &slides).await;
    assert!(titles.contains("What capi does") && titles.contains("How the result arrives"), "{titles}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_model_reads_texts_and_says_what_it_is() {
    let trial = Trial::start().await;
    let text = "Ada Lovelace, aged 36, lives in London.";
    let run = trial.run("extract", &json!({"text": text}), &[]).await;
    assert_eq!(run["result"]["data"], json!({"name": "Ada Lovelace", "age": 36, "city": "London"}), "{run}");
    let run = trial.run("summarise", &json!({"text": "It rains. It is cold. We stay."}), &[]).await;
    assert_eq!(run["result"]["text"], "It rains. It is cold.", "{run}");
    let (app, demo) = (trial.stack.app.to_string(), json!({"chatModelId": "demo"}));
    let run = trial.stack.run_app(&trial.gateway, &app, "Write a poem.", &demo).await;
    assert!(run["result"]["text"].as_str().unwrap().contains("I am capi's demo model"), "{run}");
}

/// The samples also work with another model.
#[tokio::test(flavor = "multi_thread")]
async fn the_samples_work_with_a_language_model() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let run = async |name: &str, inputs: Value| {
        let app = stack.import(&std::fs::read_to_string(deploy(&format!("apps/{name}.toml"))).unwrap()).await;
        let path = format!("/api/v1/apps/{app}/runs");
        let answer = stack.post(&gateway, &path, &json!({"inputs": inputs})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        stack.ended(&gateway, answer.body["id"].as_str().unwrap()).await
    };
    let ended = run("summarise", json!({"text": "Rust is fast."})).await;
    assert!(ended["result"]["text"].as_str().unwrap().contains("Summarise this text"), "{ended}");
    let said = r#"{"name": "Ada", "age": 36, "city": null}"#;
    let ended = run("extract", json!({"text": format!("SCRIPT {}", json!([{"say": said}]))})).await;
    assert_eq!(ended["result"]["data"], json!({"name": "Ada", "age": 36, "city": null}), "{ended}");
}
