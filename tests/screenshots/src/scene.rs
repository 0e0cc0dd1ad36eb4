//! The content of the pages: an account with apps, runs in each status, keys and files.

use e2e::accounts::{NewKey, Scopes};
use e2e::{Browser, Process, Service, Stack};
use serde_json::json;
use shared::testing::{PageServer, eventually};

use crate::sample::SampleRun;

/// A run of 2,000 events.
pub(crate) const LONG: &str = "019f0000-0000-7000-8000-000000000003";
/// The email of an account without apps, runs and keys.
pub(crate) const FRESH: &str = "new@example.com";

/// Pages without a sign-in.
pub(crate) const PUBLIC_PAGES: [(&str, &str); 5] = [
    ("sign-in", "/sign-in"),
    ("sign-up", "/sign-up"),
    ("docs", "/docs"),
    ("docs-guide", "/docs/guides/webhooks"),
    ("docs-limits", "/docs/guides/limits"),
];

/// The samples where no search provider is set: not all are offered.
const WITHOUT_SEARCH: (&str, &str) = ("new-without-search", "/apps/new");

/// Pages of the account `FRESH`.
pub(crate) const EMPTY_PAGES: [(&str, &str); 3] =
    [("apps-empty", "/apps"), ("keys-no-plan", "/account/keys"), ("usage-empty", "/account/usage")];

/// The services and the stored data behind the pages.
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) gateway: Process,
    pub(crate) sample: SampleRun,
    without_search: Process,
    _worker: Process,
    pages: Vec<(&'static str, String)>,
}

const REPORT: &str = r#"## What the pages say

The museum is open **Tuesday to Sunday**, from nine to five. On Mondays it is closed.

| Day | Open |
|---|---|
| Monday | closed |
| Tuesday | 9–17 |
| Sunday | 9–17 |

1. The hours are on the [first page](https://museum.example/hours).
2. The prices are the same on all days.

```python
print("closed" if day == "Monday" else "open")
```"#;

const CHART: &str = "import matplotlib; matplotlib.use('Agg')
import matplotlib.pyplot as plt
plt.figure(figsize=(6, 2.6))
plt.bar(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'], [0, 8, 8, 8, 8, 8, 8])
plt.title('Hours open')
plt.ylabel('Hours')
plt.tight_layout()
plt.savefig('hours.png', dpi=110)
print('drawn')";

/// The first tries of a webhook: number, status, code, sentence, answer.
const EARLIER: &str = "
    (1, NULL::integer, 'dns_failed', 'The host name cannot be resolved.', NULL),
    (2, NULL, 'tls_certificate_invalid', 'The TLS certificate of the host is not valid.', NULL),
    (3, 500, 'status', 'The receiver answered 500.', '{\"error\": \"no such table: orders\"}')";

/// A last try that failed.
const REFUSED: &str = "(4, NULL, 'connect_refused', 'The host refused the connection.', NULL)";

const OPEN_TWO_TOOL_CALLS: &str =
    "document.querySelectorAll('.call details').forEach((call, at) => { call.open = at < 2; })";

const LOAD_ALL_IMAGES: &str =
    "document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })";

const WAIT_FOR_IMAGES: &str = "
const loading = () => [...document.querySelectorAll('.thread img')].some((image) => !image.complete);
for (let tries = 0; tries < 100 && loading(); tries++) {
    await new Promise((done) => setTimeout(done, 50));
}";

impl Scene {
    pub(crate) async fn prepare() -> Self {
        let mut stack = Stack::unlimited().await;
        stack.settings = stack.settings_with("CAPI_SIGNUP", "open");
        stack.add_demo_model();
        let without_search = stack.start_console().await;
        stack.add_sample_pages().await;
        let gateway = stack.start_console().await;
        let worker = stack.start(Service::RunWorker).await;
        for sample in ["summarise", "extract", "chart"] {
            stack.import_sample(sample).await;
        }
        let sample = SampleRun::play(&stack, &gateway).await;
        let nightly =
            NewKey { name: "Nightly build".to_owned(), app: None, days: Some(10), scopes: Scopes::DEFAULT };
        stack.try_create_key(&nightly).await.expect("the plan has room for a key");
        let app = stack.import_with_tools("").await;
        let done = Self::report(&stack, &gateway, &app).await;
        let question = "Summarise the minutes of Monday's meeting and list who has to do what until when, \
                        please STATUS-400";
        let failed = stack.run_app(&gateway, &app, question, &json!({})).await;
        let question = "Compare the offers of the three printers and say which is the cheapest over two \
                        years, HOLD";
        let create = json!({"appId": app, "inputs": {"text": question}});
        let held = stack.post(&gateway, "/api/v1/runs", &create).await;
        let held = held.body["id"].as_str().expect("an id").to_owned();
        eventually("the held run runs", async || (stack.model.holding() == 1).then_some(())).await;
        stack.run_of_many_events(LONG, 2000).await;
        stack.account_without_key(FRESH, "free").await;
        let hooked = Self::webhooks(&stack, &gateway).await;
        let id = |run: &serde_json::Value| run["id"].as_str().expect("an id").to_owned();
        let mut pages = vec![
            ("apps", "/apps".to_owned()),
            ("new", "/apps/new".to_owned()),
            (WITHOUT_SEARCH.0, WITHOUT_SEARCH.1.to_owned()),
            ("run-form", format!("/apps/{app}?from={}", id(&done))),
            ("runs", format!("/apps/{app}/runs")),
            ("runs-empty", format!("/apps/{}/runs?status=cancelled", stack.app)),
            ("api", format!("/apps/{}/api", stack.app)),
            ("edit", format!("/apps/{app}/edit")),
            ("versions", format!("/apps/{app}/versions")),
            ("run-completed", format!("/runs/{}", id(&done))),
            ("run-failed", format!("/runs/{}", id(&failed))),
            ("run-running", format!("/runs/{held}")),
            ("keys", "/account/keys".to_owned()),
            ("webhooks", "/account/webhooks".to_owned()),
            ("run-webhook", format!("/runs/{hooked}")),
            ("deliveries", "/account/webhooks/deliveries".to_owned()),
            ("deliveries-failed", "/account/webhooks/deliveries?status=failed".to_owned()),
            ("usage", "/account/usage".to_owned()),
            ("activity", "/account/activity".to_owned()),
            ("security", "/account/security".to_owned()),
            ("not-found", "/runs/nothing".to_owned()),
        ];
        pages.extend(sample.pages.clone());
        Self { stack, gateway, sample, without_search, _worker: worker, pages }
    }

    /// A delivery in each state, with tries; the run of the one that is tried again.
    async fn webhooks(stack: &Stack, gateway: &Process) -> String {
        const URL: &str = "http://127.0.0.1:9999/hooks/capi/v1/orders?source=nightly-build-of-the-shop";
        let mut runs = Vec::new();
        for status in ["delivered", "failed", "retrying"] {
            let run = stack.create_run(gateway, "Tell the shop when this is over, HOLD", Some(URL)).await;
            stack.cancel_run(gateway, &run).await;
            let next = if status == "retrying" { "capi_now() + interval '29 minutes'" } else { "NULL" };
            let state = format!(
                "UPDATE webhook_deliveries SET status = '{status}', attempt = 4, next_attempt_at = {next}
                 WHERE run_id = '{run}'"
            );
            let last = if status == "delivered" { "(4, 204, NULL, NULL, 'thanks')" } else { REFUSED };
            let tries = format!(
                "INSERT INTO webhook_attempts
                     (delivery_id, number, at, duration_ms, status_code, error_code, error, response_body)
                 SELECT d.id, t.number, d.created_at + t.number * interval '7 s', 40 * t.number, t.status,
                        t.code, t.error, t.body
                 FROM webhook_deliveries d, (VALUES {EARLIER}, {last}) t (number, status, code, error, body)
                 WHERE d.run_id = '{run}'"
            );
            stack.database.run_sql(state).await;
            stack.database.run_sql(tries).await;
            runs.push(run);
        }
        runs.pop().expect("three runs")
    }

    async fn report(stack: &Stack, gateway: &Process, app: &str) -> serde_json::Value {
        let web = PageServer::start().await;
        let write =
            json!({"title": "report.md", "media_type": "text/markdown", "content": REPORT}).to_string();
        let fetch = json!({"url": web.url("/slow")}).to_string();
        let draw = json!({"script": CHART}).to_string();
        let publish = json!({"path": "hours.png"}).to_string();
        let script = json!([
            {
                "say": "I read the page about the hours first.",
                "call": [["fetch_url", fetch], ["current_time", "{}"]],
                "usage": [812, 64],
            },
            {"say": "", "call": [["python", draw]], "usage": [1490, 210]},
            {
                "say": "The chart is drawn; now both files are published.",
                "call": [["save_artifact", publish], ["save_artifact", write]],
                "usage": [1720, 120],
            },
            {"say": REPORT, "usage": [2100, 180]},
        ]);
        let question = format!(
            "When is the museum open this winter, and what does a ticket cost for two adults and a child? \
             SCRIPT {script}"
        );
        stack.run_app(gateway, app, &question, &json!({})).await
    }

    /// All pages of the main account.
    pub(crate) fn pages(&self) -> Vec<(&'static str, String)> {
        self.pages.clone()
    }

    /// The URL of a page.
    pub(crate) fn address_of(&self, name: &str, path: &str) -> String {
        let gateway = if name == WITHOUT_SEARCH.0 { &self.without_search } else { &self.gateway };
        format!("{}{path}", gateway.url())
    }

    /// Opens the parts of a page that its picture shows.
    pub(crate) async fn act(&self, browser: &Browser, name: &str) {
        match name {
            "run-completed" | "sample-run" => {
                browser.eval(OPEN_TWO_TOOL_CALLS).await;
                browser.eval(LOAD_ALL_IMAGES).await;
                browser.eval_async(WAIT_FOR_IMAGES).await;
            }
            "run-running" => browser.wait_for_text("#connection", "live").await,
            "edit" => {
                browser.click_text("summary", "Preview").await;
                browser.click_text("button", "Show the prompt").await;
                browser.wait_for_text("#preview", "A").await;
            }
            _ => {}
        }
    }
}
