//! README.md can be pasted as it stands into a shell in the repository, after `make up`. The folder of this
//! test looks like that repository, with the scripted model instead of the local one.

use std::fmt::Write;
use std::os::unix::fs::symlink;

use e2e::bin_dir;

use super::blocks::{blocks_of, root, source_at};
use super::sample::assert_like;
use super::session::Session;
use super::{Installation, parsed, samples};

/// The account that `make up` creates.
const EMAIL: &str = "you@example.com";
/// `make` itself, programs that run until they are stopped, and containers.
const MOST_SKIPPED: usize = 5;

/// A session in a folder with what `make up` leaves.
async fn after_make_up(installation: &Installation) -> Session {
    let stack = &installation.stack;
    let key = stack.account(EMAIL, "big").await.key;
    let import = async |name: &str| {
        let file = root().join(format!("deploy/apps/{name}.toml")).display().to_string();
        stack.cli(&["app", "import", &file, "--email", EMAIL], "").await
    };
    import("chart").await;
    let app = import("extract").await;
    let secret = stack.cli(&["webhook-secret", "show", "--email", EMAIL], "").await;
    let url = installation.url();
    let session = Session::new([]);
    let here = session.here();
    std::fs::create_dir_all(here.join(".local")).unwrap();
    std::fs::create_dir_all(here.join("target")).unwrap();
    symlink(bin_dir(), here.join("target/local")).unwrap();
    symlink(root().join("deploy"), here.join("deploy")).unwrap();
    let env = format!(
        "CAPI_URL='{url}'\nCAPI_API_KEY='{key}'\nCAPI_APP_ID='{app}'\nCAPI_WEBHOOK_SECRET='{secret}'\n"
    );
    std::fs::write(here.join(".local/env"), env).unwrap();
    let mut settings = String::new();
    for (name, value) in &stack.settings {
        writeln!(settings, "{name}='{value}'").unwrap();
    }
    std::fs::write(here.join(".local/services.env"), settings).unwrap();
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_can_be_pasted() {
    let installation = Installation::start().await;
    let blocks = blocks_of(&source_at("README.md"));
    let skipped = blocks.iter().filter(|block| block.is_skipped()).count();
    assert!(skipped <= MOST_SKIPPED, "{skipped} blocks are skipped");
    let outputs = after_make_up(&installation).await.run(&blocks).await;
    let [extracted, refused, webhook, file, imported] = outputs.as_slice() else { panic!("{outputs:?}") };
    let samples = samples(&blocks);
    assert_like(&samples[0], &parsed(extracted));
    assert_like(&samples[1], &parsed(refused));
    assert!(webhook.contains("run.completed for run ") && webhook.contains("verified"), "{webhook}");
    assert_eq!(parsed(file)["appName"], "Chart", "{file}");
    assert_eq!(imported.trim().len(), 36, "an id: {imported}");
}
