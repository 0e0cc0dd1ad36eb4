//! The sample apps of deploy/apps do what they say: the demo model plays each with its inputs of
//! deploy/samples, with real tools and a real sandbox.

use std::time::Duration;

use e2e::{Process, Service, Stack, deploy, form};
use serde_json::{Value, json};

use crate::kit::Kit;

/// The time limits of the commands together, and time for the rest.
const ENDS_WITHIN: Duration = Duration::from_mins(17);

fn sample(path: &str) -> Vec<u8> {
    std::fs::read(deploy("samples").join(path)).unwrap()
}

/// What `make up` starts, with the demo model beside the scripted one.
struct Trial {
    stack: Stack,
    gateway: Process,
    worker: Process,
    kit: Kit,
}

impl Trial {
    async fn start() -> Self {
        let mut stack = Stack::unlimited().await;
        stack.add_demo_model();
        stack.add_sample_pages().await;
        let gateway = stack.start(Service::Gateway).await;
        let worker = stack.start(Service::RunWorker).await;
        Self { stack, gateway, worker, kit: Kit::new() }
    }

    /// Runs a sample with the demo model; the run, which is completed.
    async fn run(&self, name: &str, inputs: &Value, files: &[form::Part<'_>]) -> Value {
        let app = self.stack.import_sample(name).await;
        let inputs = inputs.to_string();
        let mut parts: Vec<form::Part> =
            vec![("name=\"inputs\"", inputs.as_bytes()), ("name=\"chatModelId\"", b"demo".as_slice())];
        parts.extend(files);
        let path = format!("/api/v1/apps/{app}/runs");
        let id = self.stack.create_run_by_form(&self.gateway, &path, &parts).await;
        let run = self.stack.ended_within(ENDS_WITHIN, &self.gateway, &id).await;
        assert_eq!(run["status"], "completed", "{run} {}", self.worker.log());
        run
    }

    /// What the tools of a run returned.
    async fn told(&self, run: &Value) -> String {
        let path = format!("/api/v1/runs/{}/events?limit=500", run["id"].as_str().unwrap());
        self.stack.get(&self.gateway, &path).await.body["data"].to_string()
    }

    /// The bytes of the run's only artifact, which has this name and type.
    async fn saved(&self, run: &Value, name: &str, media_type: &str) -> Vec<u8> {
        assert_eq!(run["artifacts"].as_array().unwrap().len(), 1, "{run}");
        let (kind, bytes) = self.stack.artifact(&self.gateway, run, name).await;
        assert!(kind.starts_with(media_type), "{name}: {kind}");
        bytes
    }
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
    let colours = "from PIL import Image; print(len(Image.open('chart.png').getcolors(1 << 20)))";
    let colours = trial.kit.open(colours, &[("chart.png", &chart)]).await;
    assert!(colours.as_u64().unwrap() > 20, "it is not blank: {colours} colours");
    let told = trial.told(&run).await;
    assert!(!told.contains("missing from font"), "the labels are no boxes: {told}");

    let (program, checks) = (sample("fix/average.py"), sample("fix/test_average.py"));
    let files: [form::Part; 2] = [
        ("name=\"files\"; filename=\"average.py\"", &program),
        ("name=\"files\"; filename=\"test_average.py\"", &checks),
    ];
    let run = trial.run("fix", &json!({}), &files).await;
    let fixed = trial.saved(&run, "average.py", "text/").await;
    let fixed = String::from_utf8(fixed).unwrap();
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
    let read = "import json, pypdf
print(json.dumps(' '.join(page.extract_text() for page in pypdf.PdfReader('report.pdf').pages)))";
    let words = trial.kit.open(read, &[("report.pdf", &report)]).await;
    let words = words.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
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
    let titles = "import json, pptx
print(json.dumps([slide.shapes.title.text for slide in pptx.Presentation('slides.pptx').slides]))";
    let titles = trial.kit.open(titles, &[("slides.pptx", &slides)]).await.to_string();
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
        let app = stack.import_sample(name).await;
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
