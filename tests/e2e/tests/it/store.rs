//! The store of files: full, and of another installation.

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::testing::eventually;

/// H4: the run continues without the file.
#[tokio::test(flavor = "multi_thread")]
async fn h4_the_model_is_told_that_the_store_is_full() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let reserve = (u64::MAX / 2).to_string();
    let worker = stack.start_with(Service::RunWorker, "CAPI_ARTIFACTS_RESERVE_BYTES", &reserve).await;
    let app = stack.import_with_tools("").await;
    let report = json!({"title": "a.txt", "content": "hello"}).to_string();
    let written = json!({"path": "a.txt", "content": "hello"}).to_string();
    let script =
        json!([{"call": [["write_file", written], ["save_artifact", report]]}, {"say": "In words."}]);
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let id = stack.create_run_of(&gateway, &body).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["result"]["text"]), (&"completed".into(), &"In words.".into()), "{run}");
    let told = stack.model.asked().pop().unwrap().1["messages"].to_string();
    assert!(told.contains("no space left for files"), "{told}");
    assert_eq!(worker.counter("capi_artifact_store_full_total").await, 1.0);
    assert_eq!(worker.counter("capi_workspace_snapshots_total").await, 1.0, "snapshots may use the reserve");
}

/// H5: a database beside the store of another installation.
#[tokio::test(flavor = "multi_thread")]
async fn h5_services_with_the_store_of_another_installation_are_not_ready() {
    let mut stack = Stack::unlimited().await;
    // A look at a new store does not claim it.
    for look in [&["store", "owner"][..], &["store", "sweep", "--dry-run"]] {
        stack.cli(look, "").await;
        assert!(!stack.artifacts_dir().join("installation").exists(), "{look:?}");
    }
    drop(stack.start(Service::Gateway).await);
    let owner = stack.cli(&["store", "owner"], "").await;
    assert_eq!(owner, "the store belongs to this installation");
    stack.database.run_sql("UPDATE installation SET id = gen_random_uuid()").await;
    for service in [Service::Gateway, Service::RunWorker] {
        let foreign = |_: u16, body: &str| {
            body.contains("belongs to installation") && body.contains("gateway store adopt --yes")
        };
        let (process, status, body) = Process::start_until(service, &stack.settings, foreign).await;
        assert_eq!(status, 503, "{body}");
        eventually("the log and a metric say so", async || {
            let logged = process.log().contains("the store belongs to installation");
            (logged && process.counter("capi_store_foreign").await == 1.0).then_some(())
        })
        .await;
    }
    let (_, said, good) = stack.try_cli(&["store", "sweep", "--yes"], "").await;
    assert!(!good && said.contains("the store belongs to installation"), "{said}");
    let (_, said, good) = stack.try_cli(&["store", "adopt"], "").await;
    assert!(!good && said.contains("CAPI_ARTIFACTS_URL"), "{said}");
    stack.cli(&["store", "adopt", "--yes"], "").await;
    let gateway = stack.start(Service::Gateway).await;

    let id = stack.cli(&["store", "separate", "--yes"], "").await;
    assert!(id.starts_with("the database is installation "), "{id}");
    eventually("a running gateway notices it", async || (!gateway.is_ready().await).then_some(())).await;
    let copy = stack.artifacts_dir().with_file_name("of the copy");
    let url = url::Url::from_directory_path(copy).unwrap();
    stack.settings = stack.settings_with("CAPI_ARTIFACTS_URL", url.as_str());
    drop(stack.start(Service::Gateway).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_and_deletes_what_nothing_references() {
    let stack = Stack::unlimited().await;
    drop(stack.start(Service::Gateway).await);
    let dir = stack.artifacts_dir().join("runs/0197f7a0-0000-7000-8000-000000000000/files");
    std::fs::create_dir_all(&dir).unwrap();
    let [old, young] = ["old", "young"].map(|name| dir.join(name));
    for file in [&old, &young] {
        std::fs::write(file, "12345").unwrap();
    }
    let two_days_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(48);
    std::fs::File::open(&old).unwrap().set_modified(two_days_ago).unwrap();
    let (_, _, good) = stack.try_cli(&["store", "sweep"], "").await;
    assert!(!good, "it wants --dry-run or --yes");
    let listed = stack.cli(&["store", "sweep", "--dry-run"], "").await;
    assert!(listed.contains("files/old\t5\t") && !listed.contains("files/young"), "{listed}");
    assert!(listed.contains("1 of 2 objects are unreferenced: 5 bytes"), "{listed}");
    assert!(old.exists());
    let deleted = stack.cli(&["store", "sweep", "--yes"], "").await;
    assert!(deleted.contains("1 deleted") && !old.exists() && young.exists(), "{deleted}");
}
