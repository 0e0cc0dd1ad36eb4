//! Requests that fail: which are sent again, and which end the program with which code.

use e2e::Fault;
use serde_json::json;

use super::{LANGUAGES, Site};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_failed_is_sent_again_and_creates_one_run() {
    let site = Site::start().await;
    let text = "it's \"$HOME\" `id` $(id) ${{ x }} \\n\n\u{2028}\u{1f600} 漢 %s !!";
    let app = site.app(text, "").await;
    for (number, language) in LANGUAGES.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let _ = site.front.take_asked();
        site.front.next(&[Fault::Unavailable(1), Fault::AnswerLost, Fault::Closed, Fault::None]);
        site.front.next(&[Fault::Unavailable(1), Fault::AnswerLost]);
        let ended = site.run(&app, language, dir.path()).await;
        assert_eq!(ended.code, Some(0), "{}: {ended:?}", language.id);
        let asked = site.front.take_asked();
        let creates: Vec<_> = asked.iter().filter(|asked| asked.line.starts_with("POST")).collect();
        assert!(creates.len() >= 4, "{}: {asked:?}", language.id);
        let once = creates[0].once.as_ref().unwrap();
        assert!(once.len() >= 32 && creates.iter().all(|asked| asked.once.as_ref() == Some(once)));
        let runs = site.stack.text("SELECT count(*)::text AS text FROM runs").await;
        assert_eq!(runs, (number + 1).to_string(), "{}: one run", language.id);
        let run = site.stack.get(&site.gateway, &format!("/api/v1/runs/{}", ended.run())).await.body;
        assert_eq!(run["inputs"], json!({"text": text}), "{}", language.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_ends_the_program_with_its_code() {
    let site = Site::start().await;
    let app = site.app("hello", "").await;
    let dir = tempfile::tempdir().unwrap();
    for language in LANGUAGES {
        let id = language.id;
        for key in [site.stack.mistyped_key().as_str(), ""] {
            let ended = site.run_with_key(&app, language, dir.path(), key).await;
            assert_eq!((ended.code, ended.out.as_str()), (Some(4), ""), "{id}: {ended:?}");
            assert!(ended.err.contains(": ") && ended.err.contains("(request "), "{id}: {ended:?}");
        }
        // An hour is longer than a program tries.
        site.front.next(&[Fault::Unavailable(3600)]);
        let ended = site.run(&app, language, dir.path()).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{id}: {ended:?}");
        assert!(ended.err.contains("503"), "{id}: {ended:?}");
    }
    let archived = "UPDATE apps SET archived_at = capi_now()";
    assert!(site.stack.database.run_sql(archived).await > 0);
    for language in LANGUAGES {
        let ended = site.run(&app, language, dir.path()).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{}: {ended:?}", language.id);
        assert!(ended.err.contains("app_archived: "), "{}: {ended:?}", language.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_or_named_as_missing() {
    let site = Site::start().await;
    let app = site.app("hello", "[[inputs]]\nname = \"table\"\ntype = \"file\"\n").await;
    for language in LANGUAGES {
        let id = language.id;
        let dir = tempfile::tempdir().unwrap();
        let ended = site.run(&app, language, dir.path()).await;
        assert_eq!(ended.code, Some(2), "{id}: {ended:?}");
        assert!(ended.err.contains("cannot read table.csv"), "{id}: {ended:?}");

        std::fs::write(dir.path().join("table.csv"), b"a,b\r\n\xff\x00;--").unwrap();
        site.front.next(&[Fault::Unavailable(1), Fault::AnswerLost]);
        let ended = site.run(&app, language, dir.path()).await;
        assert_eq!(ended.code, Some(0), "{id}: {ended:?}");
        let run = site.stack.get(&site.gateway, &format!("/api/v1/runs/{}", ended.run())).await.body;
        let file = &run["files"][0];
        assert_eq!((&file["name"], &file["size"]), (&"table.csv".into(), &10.into()), "{id}: {run}");
        assert_eq!(run["inputs"], json!({"text": "hello", "table": "inputs/table.csv"}), "{id}");
    }
}
