//! A result of a guaranteed shape.

use e2e::{Service, Stack};
use serde_json::json;

const SCHEMA: &str = r#"
[output.schema]
type = "object"
required = ["name", "age"]
properties.name.type = "string"
properties.age.type = "integer"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_result_matches_the_apps_schema_or_the_run_fails() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools(SCHEMA).await;
    let good = r#"{"name": "Ada", "age": 36}"#;
    let shown = stack.get(&gateway, &format!("/api/v1/apps/{app}")).await.body;
    assert_eq!(shown["outputSchema"]["required"], json!(["name", "age"]));

    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {}", json!([{"say": good}])), &json!({})).await;
    assert_eq!(
        run["result"],
        json!({"text": good, "data": {"name": "Ada", "age": 36}, "artifacts": []}),
        "{run}"
    );
    let asked = stack.model.asked().pop().unwrap().1;
    assert!(asked["tools"].is_array() && asked.get("response_format").is_none(), "many servers refuse both");
    let instructions = asked["messages"][0]["content"].as_str().unwrap();
    assert!(instructions.ends_with(&shown["outputSchema"].to_string()), "{instructions}");

    let script =
        json!([{"say": r#"{"name": "Ada", "age": "old"}"#}, {"say": format!("```json\n{good}\n```")}]);
    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
    assert_eq!((&run["result"]["data"]["age"], &run["usage"]["steps"]), (&36.into(), &2.into()), "{run}");
    let asked = stack.model.asked().pop().unwrap().1;
    let repair = asked["messages"][3]["content"].as_str().unwrap();
    assert!(repair.contains("/age must be a whole number") && repair.contains("\"integer\""), "{repair}");
    assert_eq!(asked["response_format"]["json_schema"]["schema"], shown["outputSchema"]);
    assert!(asked.get("tools").is_none(), "the last turn asks for the schema alone");

    let script = json!([{"say": "He is 36."}]);
    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({})).await;
    assert_eq!(run["errorCode"], "invalid_result", "{run}");
    assert_eq!(run["result"], json!({"text": "He is 36.", "partial": true, "artifacts": []}));
    assert_eq!(run["usage"]["steps"], 2, "one turn to mend it");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_lack_something_are_asked_in_words_or_not_at_all() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let with_tools = stack.import_with_tools("").await;
    let body = json!({"appId": with_tools, "inputs": {"text": "x"}, "chatModelId": "plain"});
    let refused = stack.post(&gateway, "/api/v1/runs", &body).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &"model_lacks_tools".into()));
    assert!(
        refused.body["detail"].as_str().unwrap().contains("give as chatModelId one of: scripted"),
        "{refused:?}"
    );

    let file = format!(
        "name = \"Shape\"\nprompt = \"{{{{ text }}}}\"\ninstructions = \"Be brief.\"\ninputs = [{{name = \
         \"text\", type = \"text\"}}]\n{SCHEMA}"
    );
    let app = stack.import(&file).await;
    let script = json!([{"say": r#"{"name": "Ada", "age": 36}"#}]);
    let run =
        stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &json!({"chatModelId": "plain"})).await;
    assert_eq!(run["result"]["data"]["name"], "Ada", "{run}");
    let asked = stack.model.asked().pop().unwrap().1;
    assert!(asked.get("response_format").is_none() && asked.get("tools").is_none());
    let system = asked["messages"][0]["content"].as_str().unwrap();
    assert!(system.starts_with("Be brief.") && system.contains("\"integer\""), "{system}");
}
