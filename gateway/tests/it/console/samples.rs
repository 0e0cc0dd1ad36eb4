//! The samples on the page of new apps, and the label of the demo model.

use e2e::Stack;
use e2e::console::EMAIL;
use serde_json::json;

use crate::app::TestApp;

/// A stack with the demo model beside the scripted one, and without a search provider.
async fn with_demo() -> Stack {
    let stack = Stack::unlimited().await;
    stack.add_demo_model();
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_offered_where_they_can_run() {
    let stack = with_demo().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let page = stack.page(&gateway, "/apps/new", &session.cookie).await.1;
    assert!(page.contains("It lacks a search provider.") && page.contains("CAPI_SEARCH"), "{page}");
    assert!(page.contains("value=\"Chart\"") && !page.contains("value=\"Report\""), "{page}");
    let place = async |sample: &str| {
        let answer = stack.form(&gateway, "/apps", Some(&session), &[("sample", sample)]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.headers["location"].to_str().unwrap().to_owned()
    };
    assert_eq!(place("Report").await, "/apps/new");
    for sample in ["Chart", "Fix", "Invoice", "Slides", "Extract", "Summarise"] {
        assert!(place(sample).await.ends_with("/edit?done=created"), "{sample}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_the_demo_model_are_labelled() {
    let stack = with_demo().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let app = stack.app;
    let labels = async |path: &str| {
        let page = stack.page(&gateway, path, &session.cookie).await.1;
        page.matches("demo model</span>").count()
    };
    let create = |model: &str| json!({"appId": app, "inputs": {"text": "x"}, "chatModelId": model});
    let other = stack.create_run_of(&gateway, &create("scripted")).await;
    assert_eq!(labels(&format!("/apps/{app}/runs")).await, 0);
    let demo = stack.create_run_of(&gateway, &create("demo")).await;
    assert_eq!(labels(&format!("/apps/{app}/runs")).await, 1);
    assert_eq!((labels(&format!("/runs/{demo}")).await, labels(&format!("/runs/{other}")).await), (1, 0));
    assert_eq!(labels(&format!("/apps/{app}?from={demo}")).await, 1);
    let form = stack.page(&gateway, &format!("/apps/{app}"), &session.cookie).await.1;
    assert!(form.contains("Demo (demo model)"), "{form}");
    let models = stack.get(&gateway, "/api/v1/models").await.body;
    let models = models["data"].as_array().unwrap();
    assert!(models.iter().all(|model| model["demo"] == (model["id"] == "demo")), "{models:?}");
}
