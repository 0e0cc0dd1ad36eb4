//! A hostile model, hostile artifacts and hostile inputs execute nothing and load nothing.

use bytes::Bytes;
use e2e::console::EMAIL;
use e2e::{Browser, Service, Stack};
use serde_json::json;
use shared::ids::ArtifactId;

const HOSTILE: &str = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>\"'>\
                       ![pixel](https://evil.example/pixel.png)[link](javascript:document.title='owned')\
                       <svg onload=document.title='owned'></svg><a href='/sign-out'>x</a>";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_it_runs_in_the_console() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let _worker = stack.start(Service::RunWorker).await;
    let browser = Browser::start(1280, 900).await;
    let app = stack.import_with_tools("").await;
    let script = json!([
        {"say": HOSTILE, "call": [
            ["current_time", json!({HOSTILE: HOSTILE, "url": "javascript:alert(1)"}).to_string()],
            [HOSTILE, HOSTILE],
            ["save_artifact",
             json!({"title": "page.html", "media_type": "text/html", "content": HOSTILE}).to_string()],
            ["save_artifact", json!({"title": "<b>.svg", "media_type": "image/svg+xml", "content": "<svg \
              xmlns='http://www.w3.org/2000/svg'><script>document.title='owned'</script></svg>"}).to_string()]]},
        {"say": HOSTILE},
    ]);
    let run = stack.run_app(&gateway, &app, &format!("{HOSTILE} SCRIPT {script}"), &json!({})).await;
    assert_eq!(run["status"], "completed", "{run}");
    let id = run["id"].as_str().unwrap();
    stack.sign_in(&browser, &gateway, EMAIL).await;
    browser.console_errors().await;
    browser.open(&format!("{}/runs/{id}", gateway.url())).await;
    browser.wait_for_text(".thread", "Completed").await;
    browser.eval("document.querySelectorAll('details').forEach((one) => { one.open = true; })").await;
    browser.wait_for_text(".artifact pre", "onerror").await;
    // Any request to elsewhere, and any script that the policy stopped, would be an error here.
    assert_eq!(browser.console_errors().await, [""; 0]);
    assert!(!browser.eval("return document.title").await.to_string().contains("\"owned\""));
    let inside = browser
        .eval(
            "return document.querySelectorAll('main script, main img, main svg, main \
                               iframe, main [onerror], main [onload], main \
                               a[href^=javascript]').length",
        )
        .await;
    assert_eq!(inside, 0);
    for artifact in run["artifacts"].as_array().unwrap() {
        let artifact = artifact["id"].as_str().unwrap();
        let request = stack.client().get(format!("{}/runs/{id}/artifacts/{artifact}", gateway.url()));
        let session = stack.session(&gateway, EMAIL).await;
        let response = request.header("cookie", &session.cookie).send().await.unwrap();
        assert!(response.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
        assert_eq!(response.headers()["content-security-policy"], "sandbox; default-src 'none'");
        assert_eq!(
            stack.page(&gateway, &format!("/runs/{id}/artifacts/{artifact}/image"), &session.cookie).await.0,
            404,
            "no picture"
        );
    }
    browser.click_text(".crumb a", "Tools").await;
    browser.wait_for_text("#rows a", "<img src=x").await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_shown_and_what_only_says_so_is_not_run() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let browser = Browser::start(1280, 900).await;
    let run = stack.create_run(&gateway, "x", None).await;
    // The smallest PNG; and a page that says it were one.
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDAT\
                x\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa7\x9a\xa0\xa0\0\0\0\0IEND\xaeB`\x82";
    let (picture, page) = (ArtifactId::generate(), ArtifactId::generate());
    stack.add_artifact(run.parse().unwrap(), picture, "image/png", "a.png", Bytes::from_static(png)).await;
    stack
        .add_artifact(
            run.parse().unwrap(),
            page,
            "image/png",
            "b.png",
            Bytes::from_static(b"<script>document.title='owned'</script>"),
        )
        .await;
    let event = |seq: u32, id: ArtifactId| {
        format!(
            "INSERT INTO run_events (run_id, seq, type, at, attempt, data) VALUES ('{run}', {seq}, \
             'artifact', capi_now(), 1, jsonb_build_object('id', '{id}', 'title', 'a.png', 'type', \
             'image/png', 'size', 70, 'sha256', repeat('00', 32)))"
        )
    };
    stack.database.run_sql(event(2, picture)).await;
    stack.database.run_sql(event(3, page)).await;
    stack.sign_in(&browser, &gateway, EMAIL).await;
    browser.open(&format!("{}/runs/{run}", gateway.url())).await;
    browser.eval("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })").await;
    let loaded = "for (;;) {
        const images = [...document.querySelectorAll('.thread img')];
        if (images.length === 2 && images.every((image) => image.complete)) return images.map((image) => \
        image.naturalWidth).join();
        await new Promise((done) => setTimeout(done, 50));
    }";
    assert_eq!(browser.eval_async(loaded).await, "1,0");
    browser.open(&format!("{}/runs/{run}/artifacts/{page}/image", gateway.url())).await;
    assert_ne!(browser.eval("return document.title").await, "owned");
}
