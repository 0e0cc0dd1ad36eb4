//! Each program waits to the end, and its exit code says how the run ended.

use futures_util::future::join_all;
use serde_json::json;
use shared::testing::eventually;

use super::{Ended, LANGUAGES, Site};

/// Runs all programs of an app at once, each in a folder of its own, while `meanwhile` does something.
async fn all(site: &Site, app: &str, meanwhile: impl Future<Output = ()>) -> Vec<(tempfile::TempDir, Ended)> {
    let runs = LANGUAGES.map(|language| async move {
        let dir = tempfile::tempdir().unwrap();
        let ended = site.run(app, language, dir.path()).await;
        (dir, ended)
    });
    tokio::join!(join_all(runs), meanwhile).0
}

/// Whether the command line of a process contains the key: other users of the machine can read it.
fn is_key_visible(key: &str) -> bool {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(key))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_run_is_printed_and_its_artifacts_saved() {
    let site = Site::start().await;
    let save = |title: &str, content: &str| {
        json!(["save_artifact", json!({"title": title, "content": content}).to_string()])
    };
    let calls = [save("../é a.txt", "one"), save("..", "two"), save("b.txt", "3"), save("b.txt", "4")];
    let script = json!([{"call": calls}, {"say": "It's “done”:\n::end"}]).to_string();
    // A text would be cut to the length of an example.
    let app = format!(
        "name = \"Files\"\nprompt = \"{{{{ script }}}}\"\ntools = [\"save_artifact\"]\n[[inputs]]\nname = \
         \"script\"\ntype = \"select\"\noptions = [{}]\n",
        json!(format!("SCRIPT {script}"))
    );
    let app = site.stack.import(&app).await;
    for (dir, ended) in all(&site, &app, async {}).await {
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), "It's “done”:\n::end"), "{ended:?}");
        let folder = dir.path().join(format!("capi-{}", ended.run()));
        let mut saved: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| {
                let file = file.unwrap();
                let name = file.file_name().into_string().unwrap();
                (name, std::fs::read_to_string(file.path()).unwrap())
            })
            .collect();
        saved.sort();
        assert_eq!(saved.len(), 4, "no file replaces another: {saved:?}");
        let find = |content: &str| saved.iter().find(|(_, text)| text == content).unwrap().0.as_str();
        assert!(find("one").starts_with('_') && find("one").ends_with("a.txt"), "{saved:?}");
        let mut twins = [find("3"), find("4")];
        twins.sort_unstable();
        assert_eq!((find("two"), twins), ("artifact", ["_b.txt", "b.txt"]), "{saved:?}");
    }
    assert_eq!(site.front.count("POST"), 3, "one create each");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_printed_as_json() {
    let site = Site::start().await;
    let output = "[output.schema]\ntype = \"object\"\nrequired = [\"a\"]\nproperties.a.type = \"number\"\n";
    let script = json!([{"say": "{\"a\": 1}"}]);
    let app = site.app(&format!("SCRIPT {script}"), output).await;
    for (_, ended) in all(&site, &app, async {}).await {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&ended.out).unwrap(), json!({"a": 1}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_code_1_and_a_cancelled_one_is_code_3() {
    let site = Site::start().await;
    let app = site.app("STATUS-401", "").await;
    for (_, ended) in all(&site, &app, async {}).await {
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.err.contains("the run failed: model_auth_failed: "), "{ended:?}");
    }

    let app = site.app("HOLD", "").await;
    let cancel = async {
        eventually("all are asked", async || (site.stack.model.holding() == 3).then_some(())).await;
        let listed = site.stack.get(&site.gateway, "/api/v1/runs?status=running").await.body;
        for run in listed["data"].as_array().unwrap() {
            let cancelled = site.stack.cancel_run(&site.gateway, run["id"].as_str().unwrap()).await;
            assert_eq!(cancelled.status, 200, "{cancelled:?}");
        }
    };
    for (_, ended) in all(&site, &app, cancel).await {
        assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""), "{ended:?}");
        assert!(ended.err.ends_with("the run was cancelled"), "{ended:?}");
    }
}

/// The longest wait is 1 s here instead of 50 s, so this is like a run of some minutes.
#[tokio::test(flavor = "multi_thread")]
async fn programs_wait_until_a_long_run_is_over() {
    const WAITS: usize = 12;
    let site = Site::start().await;
    let app = site.app("HOLD", "").await;
    let release = async {
        site.waits(WAITS).await;
        assert!(!is_key_visible(&site.stack.key), "no command line holds the key");
        site.stack.model.release();
    };
    for (_, ended) in all(&site, &app, release).await {
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), "You said: HOLD"), "{ended:?}");
    }
}
