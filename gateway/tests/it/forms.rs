//! Forms as clients really send them: what is a field, what is a file, and what files are called (C15–C17).

use e2e::console::EMAIL;
use e2e::form::{BOUNDARY, Part, TABLE_APP, form};
use e2e::{Answer, Gateway, Stack};
use serde_json::json;
use shared::ids::ArtifactId;

use crate::app::TestApp;

fn detail(answer: &Answer) -> &str {
    answer.body["detail"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn c15_a_part_named_after_a_field_is_that_field_however_it_is_sent() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let app = stack.import(TABLE_APP).await;
    let parts: &[Part] = &[
        ("name=\"appId\"; filename=\"blob\"", app.as_bytes()),
        ("name=\"inputs\"; filename=\"blob\"\r\nContent-Type: application/json", b"{\"text\": \"x\"}"),
        ("name=\"metadata\"; filename*=utf-8''m.json", b"{\"a\": \"b\"}"),
        ("name=\"webhookUrl\"", b""),
        ("name=\"queueTimeoutSeconds\"", b""),
        ("name=\"table\"; filename=\"blob\"", b"a,b"),
    ];
    let created = stack.post_form(&gateway, "/api/v1/runs", None, parts).await;
    assert_eq!(created.status, 202, "{created:?}");
    let run =
        stack.get(&gateway, &format!("/api/v1/runs/{}", created.body["id"].as_str().unwrap())).await.body;
    assert_eq!(run["inputs"], json!({"text": "x", "table": "inputs/blob"}));
    assert_eq!((&run["metadata"], run["files"].as_array().unwrap().len()), (&json!({"a": "b"}), 1), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c16_a_part_without_file_name_is_no_file_and_an_unknown_one_says_what_to_write() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let path = format!("/api/v1/apps/{}/runs", stack.import(TABLE_APP).await);
    let inputs: Part = ("name=\"inputs\"", b"{\"text\": \"x\"}");
    let cases: &[(&[Part], &str)] = &[
        (&[inputs, ("name=\"files\"", b"binary")], "the part \"files\" has no file name, so it is no file"),
        (&[inputs, ("name=\"table\"", b"a,b")], "-F table=@data.csv"),
        (&[("name=\"text\"", b"x")], "-F 'inputs={\"text\": \"x\"}'"),
        (&[("name=\"input\"", b"{}")], "did you mean \"inputs\"?"),
        (&[("name=\"webhook_url\"", b"x")], "did you mean \"webhookUrl\"?"),
        (&[inputs, ("name=\"tabel\"; filename=\"a\"", b"x")], "did you mean \"table\"?"),
        (&[("name=\"files\"; filename=\"Ums\u{e4}tze.csv\"; x=\"", b"")], "quote that does not end"),
        (
            &[("name=\"files\"; filename=\"a\"\r\nContent-Transfer-Encoding: base64", b"eA==")],
            "send its bytes as they are",
        ),
    ];
    for (parts, said) in cases {
        let refused = stack.post_form(&gateway, &path, None, parts).await;
        assert!(refused.status == 400 && detail(&refused).contains(said), "{said}: {refused:?}");
    }
    assert_eq!(stack.database.run_sql("SELECT 1 FROM runs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_break_a_form_has_its_sentence() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let good = form(&[("name=\"inputs\"", b"{}")]);
    let text = |text: &str| text.replace('B', BOUNDARY).into_bytes();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let head = "Content-Disposition: form-data; name=\"files\"; filename=";
    let latin =
        [text(&format!("--B\r\n{head}\"")), b"Ums\xe4tze.csv\"\r\n\r\nx\r\n".to_vec(), text("--B--\r\n")];
    for (kind, body, said) in [
        (kind.as_str(), latin.concat(), "the file name of the part \"files\" is not UTF-8"),
        (&kind, text(&format!("--B\r\nX: {}\r\n\r\nx\r\n--B--\r\n", "x".repeat(70_000))), "more than 64 KiB"),
        (&kind, text(&format!("{}\r\n--B--\r\n", "x".repeat(70_000))), "more than 64 KiB"),
        (&kind, text("--other\r\n\r\nx\r\n--other--\r\n"), "the boundary that Content-Type names"),
        (&kind, text("--B\nContent-Disposition: form-data; name=a\n\nx\n--B--\n"), "no part begins"),
        (&kind, text("--B\r\nX: y\r\n\r\nx\r\n--B--\r\n"), "no Content-Disposition"),
        (&kind, text(&format!("--B\r\n{head}a\r\n\r\nhalf")), "ended early"),
        (&kind, vec![], "the body is empty"),
        ("multipart/form-data", good.clone(), "names no boundary"),
        ("multipart/form-data; charset=latin1; boundary=B", good.clone(), "send the body as UTF-8"),
    ] {
        let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
        let refused = stack.send(request.header("content-type", kind).body(body)).await;
        assert!(
            [400, 415].contains(&refused.status) && detail(&refused).contains(said),
            "{said}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c17_files_keep_their_names_their_order_and_their_part() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let path = format!("/api/v1/apps/{}/runs", stack.import(TABLE_APP).await);
    let parts: &[Part] = &[
        ("name=\"inputs\"", b"{\"text\": \"x\"}"),
        // .NET
        ("name=files; filename=\"=?utf-8?B?VW1zw6R0emUuY3N2?=\"; filename*=utf-8''Ums%C3%A4tze.csv", b"1"),
        ("name=files; filename=\"=?utf-8?B?UHJlaXNlX8OELmNzdg==?=\"", b"2"),
        // macOS
        ("name=\"table\"; filename=\"Umsa\u{308}tze.csv\"", b"3"),
        ("name=\"files\"; filename=\"हिन्दी.csv\"", b"4"),
        ("name=\"files\"; filename=\"Z%C3%BCrich.csv\"", b"5"),
        ("name=\"files\"; filename=\"C:\\temp\\a.csv\"", b"6"),
    ];
    let created = stack.post_form(&gateway, &path, None, parts).await;
    assert_eq!(created.status, 202, "{created:?}");
    let run =
        stack.get(&gateway, &format!("/api/v1/runs/{}", created.body["id"].as_str().unwrap())).await.body;
    let files: Vec<_> = run["files"].as_array().unwrap().iter().collect();
    let names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["Umsätze.csv", "Preise_Ä.csv", "Umsätze-2.csv", "हिन्दी.csv", "Zürich.csv", "a.csv"],
        "in the order sent"
    );
    let of: Vec<_> = files.iter().map(|file| file["part"].as_str().unwrap()).collect();
    assert_eq!(of, ["files", "files", "table", "files", "files", "files"]);
    assert_eq!(run["inputs"]["table"], "inputs/Umsätze-2.csv");
    // A row of a former version.
    stack.database.run_sql("UPDATE run_files SET part = NULL, position = NULL").await;
    let run =
        stack.get(&gateway, &format!("/api/v1/runs/{}", created.body["id"].as_str().unwrap())).await.body;
    assert_eq!(
        (run["files"].as_array().unwrap().len(), &run["files"][0]["part"]),
        (6, &json!(null)),
        "{run}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t4_files_have_the_type_of_their_name_or_content_and_no_text_is_a_picture() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let path = format!("/api/v1/apps/{}/runs", stack.import(TABLE_APP).await);
    let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let zip = b"PK\x03\x04\x14\0\0\0";
    let excel = "name=\"files\"; filename=\"b.csv\"\r\nContent-Type: application/vnd.ms-excel";
    let files: [(&str, &[u8], &str); 6] = [
        ("name=\"files\"; filename=\"a.csv\"", b"BMI,weight\n", "text/csv"),
        (excel, b"BM;gr\xf6\xdfe\n", "text/csv"),
        ("name=\"files\"; filename=\"a.docx\"\r\nContent-Type: application/zip", zip, docx),
        ("name=\"files\"; filename=\"data\"\r\nContent-Type: text/csv", b"BMI,weight\n", "text/csv"),
        ("name=\"files\"; filename=\"x.png\"\r\nContent-Type: image/png", b"a text", "text/plain"),
        (
            "name=\"files\"; filename=\"a.bin\"\r\nContent-Type: application/x-foo",
            b"\0\x01",
            "application/x-foo",
        ),
    ];
    let inputs: Part = ("name=\"inputs\"", b"{\"text\": \"x\"}");
    let parts: Vec<Part> =
        std::iter::once(inputs).chain(files.map(|(head, bytes, _)| (head, bytes))).collect();
    let created = stack.post_form(&gateway, &path, None, &parts).await;
    assert_eq!(created.status, 202, "{created:?}");
    let run =
        stack.get(&gateway, &format!("/api/v1/runs/{}", created.body["id"].as_str().unwrap())).await.body;
    let types: Vec<_> =
        run["files"].as_array().unwrap().iter().map(|file| file["type"].as_str().unwrap()).collect();
    assert_eq!(types, files.map(|(_, _, expected)| expected), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_has_a_name_and_text_of_capi_its_charset() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let run = stack.create_run(&gateway, "x", None).await;
    for (kind, title) in [("text/markdown; charset=utf-8", "a.md"), ("text/csv", "b.csv")] {
        stack.add_artifact(run.parse().unwrap(), ArtifactId::generate(), kind, title, "é".into()).await;
    }
    let shown = stack.get(&gateway, &format!("/api/v1/runs/{run}")).await.body["artifacts"].clone();
    let types: Vec<_> =
        shown.as_array().unwrap().iter().map(|shown| shown["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["text/markdown", "text/csv"], "{shown}");
    for (artifact, (title, kind)) in shown
        .as_array()
        .unwrap()
        .iter()
        .zip([("a.md", "text/markdown; charset=utf-8"), ("b.csv", "text/csv")])
    {
        assert_eq!((&artifact["name"], &artifact["title"]), (&title.into(), &title.into()));
        let path = format!("/api/v1/runs/{run}/artifacts/{}", artifact["id"].as_str().unwrap());
        assert_eq!(stack.get(&gateway, &path).await.headers["content-type"], kind);
    }
}

/// A user who chooses too many files keeps what was typed.
#[tokio::test(flavor = "multi_thread")]
async fn the_run_form_survives_files_that_cannot_be_taken() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let app = stack.import(TABLE_APP).await;
    let send = async |files: &[Part<'_>]| {
        let token = session.form_token.as_bytes();
        let mut parts: Vec<Part> = vec![("name=\"form_token\"", token)];
        parts.extend(files);
        parts.push(("name=\"input.text\"", b"typed text"));
        let request = stack.client().post(format!("{}/apps/{app}/run", gateway.url()));
        let request = request.header("cookie", &session.cookie).header("origin", gateway.url());
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let answer = request.header("content-type", kind).body(form(&parts)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let big = vec![b'x'; (25 << 20) + 1];
    let eleven = vec![("name=\"files\"; filename=\"a\"", &b"x"[..]); 11];
    for (files, said) in [
        (eleven, "at most 10 files. Choose fewer files."),
        (
            vec![("name=\"files\"; filename=\"a\"", &big[..])],
            "more than 25 MiB. Choose fewer or smaller files.",
        ),
    ] {
        let (status, page) = send(&files).await;
        assert_eq!(status, 400, "{page}");
        assert!(page.contains(said) && page.contains("typed text"), "{said}: {page}");
    }
    let table: Part = ("name=\"input.table\"; filename=\"a\"", b"x");
    let (status, page) = send(&[table, table]).await;
    assert!(status == 400 && page.contains("typed text") && !page.contains("parts named"), "{page}");
    assert_eq!(stack.database.run_sql("SELECT 1 FROM runs").await, 0);
    let broken = stack.client().post(format!("{}/apps/{app}/run", gateway.url()));
    let broken = broken.header("cookie", &session.cookie).header("origin", gateway.url());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let page =
        broken.header("content-type", kind).body("nonsense").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("The form arrived damaged") && !page.contains("boundary"), "{page}");
    let list = stack.page(&gateway, &format!("/apps/{app}/runs?cursor=bogus"), &session.cookie).await.1;
    assert!(list.contains("open the list again") && !list.contains("nextCursor"), "{list}");
}
