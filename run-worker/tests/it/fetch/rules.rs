//! The rules of the app and of the operator hold at each hop, for pages and for files.

use serde_json::{Value, json};
use shared::apps::{FetchRules, FetchUrls};
use shared::testing::{FileServer, Given};

use super::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn each_hop_must_be_allowed() {
    let target = FileServer::with([("/a", Given::Content("text/plain", "reached".into()))]).start().await;
    let away = target.url("/a").replace("127.0.0.1", "localhost");
    let server = FileServer::with([
        ("/away", Given::Redirect(away)),
        ("/near", Given::Redirect(target.url("/a"))),
        ("/twice", Given::Redirect("/away".to_owned())),
        ("/inward", Given::Redirect("http://169.254.169.254/latest".to_owned())),
        ("/scheme", Given::Redirect("file:///etc/passwd".to_owned())),
    ])
    .start()
    .await;
    let both = |path: &str| -> [Value; 2] {
        let url = server.url(path);
        [json!({"url": url}), json!({"url": url, "save_to": format!("file{path}")})]
    };
    let hosts = FetchRules { hosts: vec!["127.0.0.1".to_owned()], ..FetchRules::default() };
    let rig = Rig::with_rules(&hosts);
    for (path, word) in [
        ("/away", "may not contact the host localhost"),
        ("/twice", "may not contact the host localhost"),
        ("/inward", "does not lead to a public address"),
        ("/scheme", "must begin with https"),
    ] {
        for arguments in both(path) {
            let why = rig.refusal(arguments).await;
            assert!(why.contains(word), "{path}: {why}");
        }
    }
    for arguments in both("/near") {
        rig.call(arguments).await.unwrap();
    }
    assert_eq!(std::fs::read_to_string(rig.saved("file/near")).unwrap(), "reached");

    // The server chose the target of a redirect. The model chose the first URL.
    let known = FetchRules { urls: FetchUrls::Known, ..FetchRules::default() };
    let rig = Rig::with_rules(&known);
    for arguments in both("/near") {
        let why = rig.refusal(arguments).await;
        assert!(why.contains("only URLs that are written"), "{why}");
    }
}
