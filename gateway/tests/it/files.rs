//! Forms with files: the gateway says what is wrong with one, and deletes the files of a form that it
//! refuses.

use std::time::{Duration, Instant};

use e2e::form::{BOUNDARY, Part, TABLE_APP, form};
use e2e::{Gateway, Stack};
use serde_json::{Value, json};
use shared::testing::WAIT_LIMIT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::TestApp;

/// No form that stalls is cut off earlier.
const STALLS_FOR: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn wrong_forms_are_told_what_to_change_and_leave_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let app = stack.import(TABLE_APP).await;
    let plain = stack.app.to_string();
    let (of_app, file) = (("name=\"appId\"", app.as_bytes()), ("name=\"files\"; filename=\"a\"", &b"x"[..]));
    let big = vec![b'x'; (25 << 20) + 1];
    let eleven: Vec<Part> = std::iter::once(of_app).chain(std::iter::repeat_n(file, 11)).collect();
    let cases: &[(&[Part], u16, &str, &str)] = &[
        (
            &[of_app, ("name=\"tabel\"; filename=\"a\"", b"x")],
            400,
            "invalid_request",
            "the file \"tabel\" (did you mean \"table\"?); name the part one of: table, files",
        ),
        (
            &[of_app, ("name=\"table\"; filename=\"a\"", b"x"), ("name=\"table\"; filename=\"b\"", b"x")],
            400,
            "invalid_request",
            "takes one file",
        ),
        (
            &[("name=\"appId\"", plain.as_bytes()), ("name=\"inputs\"", b"{\"text\":\"a\"}"), file],
            400,
            "invalid_request",
            "the app takes no files",
        ),
        (
            &[of_app, ("name=\"inputs\"", b"{"), file],
            400,
            "invalid_request",
            "the part \"inputs\" is not valid JSON",
        ),
        (
            &[of_app, file, ("name=\"inputs\"", b"{\"table\":\"inputs/a\"}")],
            400,
            "invalid_inputs",
            "send it as a part",
        ),
        (&[of_app, of_app, file], 400, "invalid_request", "appears twice"),
        (&[of_app, ("filename=\"a\"", b"x")], 400, "invalid_request", "a part has no name"),
        (&[of_app, ("name=\"webhookUrl\"", b"\xff"), file], 400, "invalid_request", "is not UTF-8"),
        (&[of_app, ("name=\"table\"; filename=\"a\"", &big)], 413, "payload_too_large", "more than 25 MiB"),
        (&eleven, 400, "invalid_request", "10 files at most"),
        (&[file], 400, "invalid_request", "appId is missing"),
    ];
    for (parts, status, code, said) in cases {
        let answer = stack.post_form(&gateway, "/api/v1/runs", None, parts).await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert_eq!((answer.status, &answer.body["code"]), (*status, &(*code).into()), "{said}: {answer:?}");
        assert!(detail.contains(said), "{said}: {detail}");
    }
    let whole = form(&[of_app, file]);
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    for (kind, body, said) in [
        (kind.as_str(), &whole[..whole.len() - 20], "ended early"),
        ("multipart/form-data", &whole[..], "names no boundary"),
    ] {
        let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
        let answer = stack.send(request.header("content-type", kind).body(body.to_vec())).await;
        assert!(answer.status == 400 && answer.body["detail"].as_str().unwrap().contains(said), "{answer:?}");
    }
    let dry = stack.post_form(&gateway, &format!("/api/v1/apps/{app}/runs?dryRun=true"), None, &[file]).await;
    assert_eq!((dry.status, &dry.body["valid"]), (200, &true.into()), "{dry:?}");
    stack.keeps_inputs(0).await;
    assert_eq!(stack.database.run_sql("SELECT 1 FROM runs").await, 0);
}

/// H4: a full store refuses files and keeps everything else working.
#[tokio::test(flavor = "multi_thread")]
async fn h4_a_full_store_refuses_files_and_nothing_else() {
    let stack = Stack::unlimited().await;
    let more_than_any_disk = (u64::MAX / 2).to_string();
    let gateway = TestApp::start_with(&stack, "CAPI_ARTIFACTS_RESERVE_BYTES", &more_than_any_disk).await;
    let app = stack.import(TABLE_APP).await;
    let parts = [("name=\"appId\"", app.as_bytes()), ("name=\"files\"; filename=\"a\"", &b"x"[..])];
    let refused = stack.post_form(&gateway, "/api/v1/runs", None, &parts).await;
    assert_eq!((refused.status, &refused.body["code"]), (507, &"store_full".into()), "{refused:?}");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("without files"), "{detail}");
    let inputs = json!({"appId": app, "inputs": {"text": "x"}});
    assert_eq!(stack.post(&gateway, "/api/v1/runs", &inputs).await.status, 202);
    let plain = stack.post_form(&gateway, "/api/v1/runs", None, &parts[..1]).await;
    assert_eq!(plain.status, 202, "a form without files: {plain:?}");
    stack.keeps_inputs(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_need_a_model_that_sees_them_or_a_tool_that_opens_them() {
    let stack = Stack::unlimited().await;
    let dir = tempfile::tempdir().unwrap();
    let model = |id: &str, more: &str| {
        format!(
            "[[models]]\nid = \"{id}\"\nname = \"{id}\"\nprovider = \"openai\"\n\
             base_url = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\n{more}\n"
        )
    };
    let models = dir.path().join("models.toml");
    std::fs::write(&models, model("blind", "default = true") + &model("seeing", "vision = true")).unwrap();
    let gateway = TestApp::start_with(&stack, "CAPI_MODELS", models.to_str().unwrap()).await;
    let with_shell = stack.import(TABLE_APP).await;
    let plain = stack.app.to_string();
    let inputs = ("name=\"inputs\"", &b"{\"text\":\"a\"}"[..]);
    let picture = ("name=\"files\"; filename=\"a.txt\"", &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..]);
    let table = ("name=\"files\"; filename=\"a.png\"", &b"a,b\n"[..]);
    let seeing = ("name=\"chatModelId\"", &b"seeing"[..]);
    let cases: &[(&str, &[Part], u16, &str)] = &[
        (&plain, &[inputs, picture], 400, "give as chatModelId one of: seeing"),
        (&plain, &[inputs, picture, seeing], 200, ""),
        (&plain, &[inputs, picture, table, seeing], 400, "the app takes no files except pictures"),
        (&with_shell, &[picture], 200, ""),
    ];
    for (app, parts, status, said) in cases {
        let path = format!("/api/v1/apps/{app}/runs?dryRun=true");
        let answer = stack.post_form(&gateway, &path, None, parts).await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert!(answer.status == *status && detail.contains(said), "{said}: {answer:?}");
    }
    let path = format!("/api/v1/apps/{plain}/runs");
    let refused = stack.post_form(&gateway, &path, None, &[inputs, picture]).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &"model_lacks_vision".into()), "{refused:?}");
    let error = &refused.body["errors"][0];
    assert_eq!((&error["pointer"], &error["code"]), (&"/chatModelId".into(), &"lacks_vision".into()));
    stack.keeps_inputs(0).await;
    let listed = stack.get(&gateway, "/api/v1/models").await.body;
    let vision: Vec<_> = listed["data"].as_array().unwrap().iter().map(|model| &model["vision"]).collect();
    assert_eq!(vision, [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_says_which_of_its_inputs_are_files() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let app = TABLE_APP.replace("type = \"file\"", "type = \"file\"\nrequired = true");
    let app = stack.import(&app).await;
    let missing = stack.post(&gateway, "/api/v1/runs", &json!({"appId": app})).await;
    assert!(
        missing.body["detail"].as_str().unwrap().contains("the file \"table\" is missing; send it as a part"),
        "{missing:?}"
    );
    let listed = stack.get(&gateway, "/api/v1/apps").await.body;
    assert!(
        listed["data"].as_array().unwrap().iter().any(|app| app["inputs"][1]["type"] == "file"),
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn k9_a_form_that_stalls_is_cut_off_after_fifteen_seconds_and_leaves_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let app = stack.import(TABLE_APP).await;
    let body = form(&[
        ("name=\"appId\"", app.as_bytes()),
        ("name=\"files\"; filename=\"a\"", &vec![b'x'; 100_000]),
        ("name=\"files\"; filename=\"b\"", b"rest"),
    ]);
    let head = format!(
        "POST /api/v1/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: \
         multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
        stack.key,
        body.len()
    );
    let begun = Instant::now();
    let mut connection = TcpStream::connect(gateway.url().trim_start_matches("http://")).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&body[..body.len() - 30]).await.unwrap();
    let mut answer = String::new();
    let read = connection.read_to_string(&mut answer);
    tokio::time::timeout(WAIT_LIMIT, read).await.expect("the connection is closed").unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(begun.elapsed() >= STALLS_FOR, "the form was given {:?}", begun.elapsed());
    stack.keeps_inputs(0).await;
    let answer: Value = stack.get(&gateway, "/api/v1/runs").await.body;
    assert_eq!(answer["data"], json!([]));
}
