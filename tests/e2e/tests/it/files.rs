//! Files that come with a create: stored once, given to the agent under safe names, deleted with the run.

use e2e::form::{Part, TABLE_APP};
use e2e::{Service, Stack};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn files_reach_the_agent_under_safe_names_and_go_with_the_run() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let app = stack.import(TABLE_APP).await;
    let look = json!({"script": "ls -A inputs | sort; cat inputs/sales.csv; (echo x >> inputs/sales.csv) \
                                 2>&1; rm -f inputs/x 2>&1; cp inputs/sales.csv mine.csv && \
                                 echo 3,4 >> mine.csv && cat mine.csv"});
    let script = json!([{"call": [["shell", look.to_string()]]}, {"say": "Done."}]);
    let inputs = json!({"text": format!("SCRIPT {script}")}).to_string();
    let long = format!("name=\"files\"; filename=\"{}.txt\"", "n".repeat(300));
    let parts: &[Part] = &[
        ("name=\"appId\"", app.as_bytes()),
        ("name=\"inputs\"", inputs.as_bytes()),
        ("name=\"table\"; filename=\"sales.csv\"", b"a,b\n1,2\n"),
        ("name=\"files\"; filename=\"../../x\"", b"dots"),
        ("name=\"files\"; filename=\"sales.csv\"", b"another"),
        ("name=\"files\"; filename=\"/dev/null\"", b"device"),
        (&long, b"long"),
        ("name=\"files\"; filename=\"empty\"", b""),
        ("name=\"files\"; filename=\"\"", b"nameless"),
        ("name=\"metadata\"", b"{\"order\": \"17\"}"),
    ];
    let created = stack.post_form(&gateway, "/api/v1/runs", Some("once"), parts).await;
    assert_eq!(created.status, 202, "{created:?}");
    let id = created.body["id"].as_str().unwrap();
    let run = stack.ended(&gateway, id).await;
    assert_eq!(run["status"], "completed", "{run} {}", worker.log());
    assert_eq!(
        (&run["inputs"]["table"], &run["metadata"]["order"]),
        (&"inputs/sales.csv".into(), &"17".into())
    );
    let names: Vec<_> =
        run["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    let long = format!("{}.txt", "n".repeat(196));
    assert_eq!(names, ["sales.csv", "x", "sales-2.csv", "null", &long, "empty", "file"], "in the order sent");
    assert_eq!((&run["files"][0]["type"], &run["files"][0]["size"]), (&"text/csv".into(), &8.into()));

    let (_, asked) = stack.model.asked().pop().unwrap();
    let messages = asked["messages"].as_array().unwrap();
    let told = messages
        .iter()
        .filter(|message| message["role"] == "user")
        .map(|message| message["content"].to_string());
    let told: String = told.collect();
    assert!(told.contains("inputs/sales.csv (text/csv, 8 bytes)") && told.contains("inputs/x"), "{told}");
    let seen = messages.last().unwrap()["content"].as_str().unwrap();
    assert!(seen.contains("sales-2.csv\nsales.csv\nx\na,b\n1,2\n"), "{seen}");
    assert!(seen.contains("Read-only file system") && seen.contains("Permission denied"), "{seen}");
    assert!(seen.trim_end().ends_with("a,b\n1,2\n3,4"), "a copy can be changed: {seen}");

    let again = stack.post_form(&gateway, "/api/v1/runs", Some("once"), parts).await;
    assert_eq!((again.status, &again.body["id"]), (202, &id.into()), "{again:?}");
    stack.keeps_inputs(7).await;
    let mut changed = parts.to_vec();
    changed[3].1 = b"others";
    let conflict = stack.post_form(&gateway, "/api/v1/runs", Some("once"), &changed).await;
    assert_eq!(conflict.body["code"], "idempotency_conflict");
    stack.keeps_inputs(7).await;
    let deleted = stack
        .send(stack.client().delete(format!("{}/api/v1/runs/{id}", gateway.url())).bearer_auth(&stack.key))
        .await;
    assert_eq!((deleted.status, stack.stored_inputs()), (204, 0));
    assert_eq!(stack.database.run_sql("SELECT 1 FROM run_files").await, 0);
}
