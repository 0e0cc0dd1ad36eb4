use std::os::unix::fs::{PermissionsExt, symlink};

use bytes::Bytes;
use serde_json::json;
use shared::testing::{FileServer, Given};

use super::{QUOTA, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn any_type_is_saved_as_it_is() {
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let server = FileServer::with([("/a", Given::Content("image/png", body.clone().into()))]).start().await;
    let rig = Rig::new();
    let arguments = json!({"url": server.url("/a"), "save_to": "data/new/picture.png"});
    let output = rig.call(arguments).await.unwrap();
    assert!(output.text.contains("Saved 100000 bytes (image/png)"), "{}", output.text);
    assert_eq!(output.sources.len(), 1);
    assert_eq!(std::fs::read(rig.saved("data/new/picture.png")).unwrap(), body);
    let mode = std::fs::metadata(rig.saved("data/new/picture.png")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_must_be_free_and_in_the_workspace() {
    let server = FileServer::with([("/a", Given::Content("text/plain", "new".into()))]).start().await;
    let rig = Rig::new();
    std::fs::write(rig.saved("taken"), "old").unwrap();
    std::fs::create_dir(rig.saved("dir")).unwrap();
    symlink(rig.dir.path(), rig.saved("out")).unwrap();
    for (path, word) in [
        ("taken", "exists already"),
        ("dir", "is a directory"),
        ("dir/", "directory"),
        ("", "names no file"),
        ("taken/a", "as if it were a directory"),
        ("out/a", "leads out"),
        ("../a", "\"..\""),
        ("/etc/a", "workspace"),
        ("inputs/a", "cannot be changed"),
        ("a/b/c/d/e/f/g", "levels deep"),
    ] {
        let why = rig.refusal(json!({"url": server.url("/a"), "save_to": path})).await;
        assert!(why.contains(word), "{path}: {why}");
    }
    assert_eq!(std::fs::read_to_string(rig.saved("taken")).unwrap(), "old");
    assert!(!rig.dir.path().join("a").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_not_saved() {
    let piece = Bytes::from(vec![7; 1 << 20]);
    let server = FileServer::with([
        ("/large", Given::Repeated("application/zip", piece.clone(), 20)),
        ("/fits", Given::Repeated("application/zip", piece, 6)),
    ])
    .start()
    .await;
    let rig = Rig::new();
    let save = |path: &str, to: &str| json!({"url": server.url(path), "save_to": to});
    let why = rig.refusal(save("/large", "large")).await;
    assert!(why.contains("fit into the workspace") && why.contains("Nothing was saved"), "{why}");
    let why = rig.refusal(save("/gone", "gone")).await;
    assert!(why.contains("status 404"), "{why}");
    assert!(!rig.saved("large").exists() && !rig.saved("gone").exists());
    rig.call(save("/fits", "fits")).await.unwrap();
    let why = rig.refusal(save("/fits", "again")).await;
    assert!(why.contains("fit into the workspace"), "{why}");
    assert!(rig.workspace.measure().unwrap().unwrap().bytes <= QUOTA.bytes);
}

/// What the result of a fetch holds counts as the page's words, so a path must not become a known URL.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_does_not_quote_the_path() {
    let server = FileServer::with([("/a", Given::Content("text/plain", "x".into()))]).start().await;
    let rig = Rig::new();
    let save = |path: &str| json!({"url": server.url("/a"), "save_to": path});
    let why = rig.refusal(save("https://evil.example/secret")).await;
    assert!(why.contains("is a URL"), "an error is no text of the page: {why}");
    let output = rig.call(save("https:\\/\\/evil.example/secret2")).await.unwrap();
    assert!(!output.text.contains("evil") && !output.text.contains("secret"), "{}", output.text);
}
