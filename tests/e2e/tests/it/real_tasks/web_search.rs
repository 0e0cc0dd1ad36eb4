//! Searches: results with private addresses, an installation without a provider, and research that cites what
//! it found.

use e2e::{Answer, Process, Service, Stack};
use serde_json::{Value, json};
use shared::testing::FileServer;

use super::services::{Services, script};

const EMAIL: &str = "ada@example.com";

const APP: &str = r#"
name = "Research"
prompt = "{{ text }}"
tools = ["web_search", "fetch_url", "save_artifact"]
[[inputs]]
name = "text"
type = "text"
[fetch]
urls = "known"
"#;

/// Writes the file of CAPI_SEARCH and sets it for the services that start from now on.
fn set_providers(stack: &mut Stack, providers: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("search.toml");
    std::fs::write(&path, providers).unwrap();
    stack.settings = stack.settings_with("CAPI_SEARCH", &path.display().to_string());
    dir
}

/// Saves [`APP`] through the API.
async fn save_app(stack: &Stack, gateway: &Process) -> Answer {
    let key = stack.create_key_with_all_scopes(EMAIL).await;
    let request = stack.client().post(format!("{}/api/v1/apps", gateway.url())).bearer_auth(key);
    stack.send(request.header("content-type", "application/toml").body(APP)).await
}

fn search(query: &str) -> (&'static str, Value) {
    ("web_search", json!({"query": query}))
}

/// The URLs of the run's sources, and how each was used.
fn sources(run: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = run["result"]["sources"].as_array().into_iter().flatten();
    all.map(|source| (text(&source["url"]), text(&source["how"]))).collect()
}

/// What the gateway refuses is in gateway/tests/it/search.rs.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_and_a_worker_without_the_provider_say_what_is_missing() {
    let mut stack = Stack::unlimited().await;
    let import = ["app", "import", "/dev/stdin", "--email", EMAIL];
    let (_, said, good) = stack.try_cli(&import, APP).await;
    assert!(!good && said.contains("CAPI_SEARCH"), "{said}");

    let without = stack.settings_with("CAPI_ROLLOUT_SECONDS", "0");
    let _file = set_providers(
        &mut stack,
        "[[providers]]\nprovider = 'searxng'\nbase_url = 'http://127.0.0.1:9009'\n",
    );
    let gateway = stack.start(Service::Gateway).await;
    // The worker's file may be another one than the gateway's.
    let _worker = Process::start(Service::RunWorker, &without).await;
    let app = stack.cli(&import, APP).await;
    let run = stack.run_app(&gateway, &app, "What is new?", &json!({})).await;
    assert_eq!(run["status"], "failed", "{run}");
    assert!(run["error"]["message"].as_str().unwrap().contains("CAPI_SEARCH"), "{run}");
    assert!(stack.model.asked().is_empty(), "the model is not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_with_private_addresses_are_dropped_and_the_model_is_told() {
    let mut provider = FileServer::default();
    let result = |url: &str| json!({"url": url, "title": "A title", "content": "A snippet."});
    let urls = [
        "https://example.com/bees",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/admin",
        "http://[fd00::1]/",
        "file:///etc/passwd",
    ];
    let answer = json!({"query": "bees", "results": urls.map(result)});
    provider.add("/search", "application/json", answer.to_string());
    let provider = provider.start().await;
    let mut stack = Stack::unlimited().await;
    let entry = format!("[[providers]]\nprovider = 'searxng'\nbase_url = '{}'\n", provider.url(""));
    let _file = set_providers(&mut stack, &entry);
    let services = Services::start_in(stack).await;
    let app = save_app(&services.stack, &services.gateway).await;
    let app = app.body["id"].as_str().unwrap();
    let inward = ("fetch_url", json!({"url": urls[1]}));
    let ended = services.run_of(app, &[], &script(&[search("bees"), inward], "Done.")).await;
    assert_eq!(ended.run["status"], "completed", "{}", ended.run);
    ended.told[0].has(&["[1]", urls[0], "A snippet."]);
    ended.told[0].has_one_of(&["private", "left out", "dropped", "not public"]);
    ended.told[0].lacks(&["169.254", "10.0.0.1", "fd00", "passwd"]);
    ended.told[1].has_one_of(&["only URLs", "public address"]);
    assert_eq!(sources(&ended.run), [(urls[0].to_owned(), "searched".to_owned())], "{}", ended.run);
}

#[tokio::test(flavor = "multi_thread")]
async fn research_finds_reads_and_cites() {
    let mut pages = FileServer::default();
    let texts = [
        ("bees.html", "Honey bees", "Honey bees dance to show where the flowers are."),
        ("wasps.html", "Wasps", "Wasps build nests of paper. They do not dance."),
        ("stones.html", "Stones", "Granite is hard."),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, title, text) in texts {
        let page = format!(
            "<html><head><title>{title}</title></head><body><main><p>{text}</p></main></body></html>"
        );
        std::fs::write(dir.path().join(name), &page).unwrap();
        pages.add(&format!("/{name}"), "text/html", page);
    }
    let pages = pages.start().await;
    let mut stack = Stack::unlimited().await;
    let (path, base) = (dir.path().display(), pages.url("/"));
    let entry = format!("[[providers]]\nprovider = 'local'\npath = '{path}'\nbase_url = '{base}'\n");
    let _file = set_providers(&mut stack, &entry);
    let services = Services::start_in(stack).await;
    let app = save_app(&services.stack, &services.gateway).await;
    let app = app.body["id"].as_str().unwrap();
    let fetch = |name: &str| ("fetch_url", json!({"url": pages.url(name)}));
    let calls = [search("which insects dance"), fetch("/bees.html"), fetch("/wasps.html"), search("granite")];
    let bees = pages.url("/bees.html");
    let answer = format!("Bees dance ({bees}).");
    let ended = services.run_of(app, &[], &script(&calls, &answer)).await;
    assert_eq!(ended.run["status"], "completed", "{}", ended.run);
    ended.told[0].has(&["Honey bees", &bees, "[1]"]);
    // The app may only fetch what it knows: the search found the pages.
    ended.told[1].has(&["show where the flowers are"]);
    ended.told[2].has(&["nests of paper"]);
    ended.told[3].has(&["/stones.html"]);
    let mut used = sources(&ended.run);
    used.sort();
    let expected =
        [(bees, "cited"), (pages.url("/stones.html"), "searched"), (pages.url("/wasps.html"), "read")];
    assert_eq!(used, expected.map(|(url, how)| (url, how.to_owned())), "{}", ended.run);
}
