//! The sample apps of deploy/apps can be imported, and do what they say.

use std::time::Duration;

use e2e::{Service, Stack, form};
use serde_json::{Value, json};
use shared::testing::PageServer;

/// The time limits of the commands together, and time for the rest.
const ENDS_WITHIN: Duration = Duration::from_mins(17);

async fn import(stack: &Stack, name: &str) -> String {
    let path = format!("{}/../../deploy/apps/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    stack.import(&std::fs::read_to_string(path).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_apps_do_what_they_say() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let pages = PageServer::start().await;
    let run = async |app: &str, inputs: Value| {
        let answer =
            stack.post(&gateway, &format!("/api/v1/apps/{app}/runs"), &json!({"inputs": inputs})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        stack.ended(&gateway, answer.body["id"].as_str().unwrap()).await
    };

    let summarise = import(&stack, "summarise").await;
    let ended = run(&summarise, json!({"text": "Rust is fast."})).await;
    assert!(ended["result"]["text"].as_str().unwrap().contains("Summarise this text"), "{ended}");

    let extract = import(&stack, "extract").await;
    let said = r#"{"name": "Ada", "age": 36, "city": null}"#;
    let ended = run(&extract, json!({"text": format!("SCRIPT {}", json!([{"say": said}]))})).await;
    assert_eq!(ended["result"]["data"], json!({"name": "Ada", "age": 36, "city": null}), "{ended}");

    let report = import(&stack, "report").await;
    let saved =
        json!({"title": "report.md", "media_type": "text/markdown", "content": "# Hello"}).to_string();
    let script = json!([
        {"call": [["fetch_url", json!({"url": pages.url("/slow")}).to_string()], ["current_time", "{}"]]},
        {"call": [["save_artifact", saved]]},
        {"say": "They say hello."},
    ]);
    let ended =
        run(&report, json!({"question": format!("SCRIPT {script}"), "pages": pages.url("/slow")})).await;
    assert_eq!(ended["result"]["text"], "They say hello.", "{ended}");
    assert_eq!(
        (&ended["artifacts"][0]["title"], &ended["usage"]["toolCalls"]),
        (&"report.md".into(), &3.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_becomes_a_chart() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let app = import(&stack, "chart").await;
    let draw = "import pandas, matplotlib.pyplot as plt\nsales = \
                pandas.read_csv('inputs/sales.csv')\nprint('sum', sales.amount.sum())\nsales.plot(x='month', \
                y='amount', kind='bar', title='Sales')\nplt.savefig('chart.png')";
    let script = json!([
        {"call": [["read_file", json!({"path": "inputs/sales.csv"}).to_string()]]},
        {"call": [["python", json!({"script": draw, "timeout_seconds": 600}).to_string()]]},
        {"call": [["save_artifact", json!({"path": "chart.png", "title": "Sales.png"}).to_string()]]},
        {"say": "They grew."},
    ]);
    let inputs = json!({"question": format!("SCRIPT {script}")}).to_string();
    let parts: &[form::Part] = &[
        ("name=\"inputs\"", inputs.as_bytes()),
        ("name=\"table\"; filename=\"sales.csv\"", b"month,amount\nJan,3\nFeb,5\nMar,9\n"),
    ];
    let created = stack.post_form(&gateway, &format!("/api/v1/apps/{app}/runs"), None, parts).await;
    assert_eq!(created.status, 202, "{created:?}");
    let ended = stack.ended_within(ENDS_WITHIN, &gateway, created.body["id"].as_str().unwrap()).await;
    assert_eq!(ended["result"]["text"], "They grew.", "{ended} {}", worker.log());
    let (_, last) = stack.model.asked().pop().unwrap();
    let told = last["messages"].to_string();
    assert!(told.contains("month,amount") && told.contains("sum 17"), "{told}");
    let chart = &ended["artifacts"][0];
    assert_eq!((&chart["type"], &chart["title"]), (&"image/png".into(), &"Sales.png".into()));
    let link = chart["downloadUrl"].as_str().unwrap().replace("http://capi.test", &gateway.url());
    let bytes = stack.client().get(link).send().await.unwrap().bytes().await.unwrap();
    assert!(
        bytes.starts_with(b"\x89PNG") && bytes.len() > 5000 && chart["size"] == bytes.len(),
        "{}",
        bytes.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_changed_until_its_tests_pass() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let app = import(&stack, "fix").await;
    let test = json!({"script": "cd work && python3 -m pytest -q 2>&1 | tail -5", "timeout_seconds": 600})
        .to_string();
    let edit = json!({"path": "work/average.py", "old": "/ 2", "new": "/ len(numbers)"}).to_string();
    let script = json!([
        {"call": [["shell", json!({"script": "mkdir work && cp inputs/*.py \
                                              work"}).to_string()], ["shell", test]]},
        {"call": [["read_file", json!({"path": "work/average.py"}).to_string()]]},
        {"call": [["edit_file", edit], ["shell", test]]},
        {"call": [["save_artifact", json!({"path": "work/average.py"}).to_string()]]},
        {"say": "It divided by two."},
    ]);
    let inputs = json!({"hint": format!("SCRIPT {script}")}).to_string();
    let parts: &[form::Part] = &[
        ("name=\"inputs\"", inputs.as_bytes()),
        ("name=\"files\"; filename=\"average.py\"", b"def average(numbers):\n    return sum(numbers) / 2\n"),
        (
            "name=\"files\"; filename=\"test_average.py\"",
            b"from average import average\n\ndef test_three():\n    assert average([1, 2, 6]) == 3\n",
        ),
    ];
    let created = stack.post_form(&gateway, &format!("/api/v1/apps/{app}/runs"), None, parts).await;
    assert_eq!(created.status, 202, "{created:?}");
    let ended = stack.ended_within(ENDS_WITHIN, &gateway, created.body["id"].as_str().unwrap()).await;
    assert_eq!(ended["result"]["text"], "It divided by two.", "{ended} {}", worker.log());
    let (_, last) = stack.model.asked().pop().unwrap();
    let told = last["messages"].to_string();
    assert!(told.contains("1 failed") && told.contains("1 passed"), "{told}");
    assert_eq!(ended["artifacts"][0]["title"], "average.py");
}
