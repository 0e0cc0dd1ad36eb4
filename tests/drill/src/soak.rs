//! H2: one hostile account does everything at once beside 200 honest runs of another account. The drill first
//! measures honest runs alone, and beside everything except commands.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::console::Session;
use e2e::form::{BOUNDARY, form};
use e2e::slow::unread;
use e2e::{Account, Process, Service, Stack};
use serde_json::json;
use shared::testing::{TestDatabase, TestQueues};
use tokio::task::JoinSet;

use crate::commands::script;
use crate::report::Report;
use crate::stage::Stage;

const HONEST: usize = 200;
const ALONE: usize = 100;
const WITHOUT_COMMANDS: usize = 50;
/// With `--full`, and without.
const TIME: [Duration; 2] = [Duration::from_mins(10), Duration::from_mins(2)];
/// The hostile account has commands, so its bar is that of S2 without delegated cgroup v2.
const BAR: f64 = 4.0;
/// What a service may hold in the end.
const MAX_RESIDENT_MB: u64 = 300;
/// Between two requests of one hostile client.
const PAUSE: Duration = Duration::from_millis(50);
const HOSTILE_EMAIL: &str = "mallory@capi.test";
const PLANS: &str = "
[plans.honest]
api = true
requests_per_minute = 10000
api_keys = 10
running_runs = 1000
[plans.hostile]
api = true
requests_per_minute = 600
api_keys = 10
running_runs = 4
max_pending_runs = 20
max_stored_bytes = 209715200
";
const UPLOAD_BYTES: usize = 20 << 20;
const READERS: usize = 12;

const COMMANDS: [&str; 5] = [
    ":(){ :|:& };:; sleep 5",
    "for n in $(seq 200000); do : > /tmp/$n; done",
    "while :; do head -c 40M /dev/zero > a; rm a; done",
    "head -c 3G /dev/zero | tail",
    "while :; do :; done",
];

/// What each hostile client needs.
struct Hostile {
    stack: Stack,
    gateway: Process,
    account: Account,
    session: Session,
    tools_app: String,
    requests: AtomicUsize,
}

pub(crate) async fn drill(stage: &Stage, full: bool) -> Report {
    let time = TIME[usize::from(!full)];
    let mut report = Report::new("H2 soak", Duration::from_secs(30));
    let database = TestDatabase::create_at(stage.postgres.url.clone()).await;
    let queues = TestQueues::create_at(stage.broker.url.clone());
    let stack = Stack::create_over(database, queues, "honest", PLANS).await;
    let gateway = stack.start_console().await;
    let worker = stack.start(Service::RunWorker).await;
    let account = stack.account(HOSTILE_EMAIL, "hostile").await;
    let tools_app = stack.tools_app_of(HOSTILE_EMAIL).await;
    let session = stack.session(&gateway, HOSTILE_EMAIL).await;
    let requests = AtomicUsize::new(0);
    let hostile = Arc::new(Hostile { stack, gateway, account, session, tools_app, requests });
    let mut alone = honest_runs(&hostile, ALONE, Duration::ZERO, &mut report).await;
    let mut clients = JoinSet::new();
    clients.spawn(previews(Arc::clone(&hostile)));
    clients.spawn(schemas(Arc::clone(&hostile)));
    clients.spawn(uploads(Arc::clone(&hostile)));
    clients.spawn(readers(Arc::clone(&hostile)));
    let pause = time / u32::try_from(HONEST).unwrap_or(1);
    let mut without = honest_runs(&hostile, WITHOUT_COMMANDS, pause, &mut report).await;
    clients.spawn(commands(Arc::clone(&hostile)));
    let mut beside = honest_runs(&hostile, HONEST, pause, &mut report).await;
    clients.shutdown().await;
    report.faults = hostile.requests.load(Ordering::Relaxed);
    for samples in [&mut alone, &mut without, &mut beside] {
        samples.sort();
    }
    compare(&mut report, "everything except commands", &alone, &without);
    let slower = compare(&mut report, "everything", &alone, &beside);
    report.recoveries.push(p95(&beside));
    report.must(slower < BAR, || format!("honest runs are slowed {slower:.2} times"));
    for (name, process) in [("gateway", &hostile.gateway), ("run-worker", &worker)] {
        let (ready, resident) = (process.is_ready().await, process.resident_mb());
        report.must(ready, || format!("the {name} is not ready"));
        report.must(resident < MAX_RESIDENT_MB, || format!("the {name} holds {resident} MB"));
        report.notes.push(format!("the {name} holds {resident} MB in the end"));
    }
    report
}

/// Runs of the stack's own account, one after another; how long each took.
async fn honest_runs(with: &Hostile, runs: usize, pause: Duration, report: &mut Report) -> Vec<Duration> {
    let mut samples = Vec::new();
    for _ in 0..runs {
        let begun = Instant::now();
        let body = json!({"appId": with.stack.app, "inputs": {"text": "hello"}});
        let url = format!("{}/api/v1/runs", with.gateway.url());
        let request = with.stack.client().post(url).bearer_auth(&with.stack.key).json(&body);
        let sent = request.header("prefer", "wait=30").timeout(Duration::from_mins(1)).send().await;
        let answer = match sent {
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        let completed = answer.contains("\"status\":\"completed\"");
        report.accepted += 1;
        report.terminal += usize::from(completed);
        report.must(completed, || format!("an honest run: {answer:.200}"));
        samples.push(begun.elapsed());
        tokio::time::sleep(pause.saturating_sub(begun.elapsed())).await;
    }
    samples
}

/// Of sorted samples.
fn p95(samples: &[Duration]) -> Duration {
    samples[samples.len() * 95 / 100]
}

/// How many times slower the runs are beside `what`.
fn compare(report: &mut Report, what: &str, alone: &[Duration], beside: &[Duration]) -> f64 {
    let slower = p95(beside).as_secs_f64() / p95(alone).as_secs_f64();
    report.notes.push(format!(
        "beside {what}: p50 {:.1?}, p95 {:.1?}; alone: p50 {:.1?}, p95 {:.1?} ({slower:.2} times)",
        beside[beside.len() / 2],
        p95(beside),
        alone[alone.len() / 2],
        p95(alone)
    ));
    slower
}

/// The texts of a corpus of hostile inputs.
fn corpus(name: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora").join(name);
    let files = std::fs::read_dir(dir).expect("the corpus is a folder of tests/corpora");
    files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok()).collect()
}

impl Hostile {
    async fn send_form(&self, path: &str, fields: &[(&str, &str)]) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.stack.form_page(&self.gateway, path, &self.session, fields).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn previews(hostile: Arc<Hostile>) {
    let path = format!("/apps/{}/preview", hostile.account.app);
    let prompts = corpus("prompts");
    for prompt in prompts.iter().cycle() {
        hostile.send_form(&path, &[("prompt", prompt), ("samples", "{\"a\": \"x\"}")]).await;
    }
}

async fn schemas(hostile: Arc<Hostile>) {
    let path = format!("/apps/{}/edit", hostile.account.app);
    let schemas = corpus("schemas");
    for schema in schemas.iter().cycle() {
        hostile.send_form(&path, &[("name", "A"), ("prompt", "x"), ("schema", schema)]).await;
    }
}

async fn commands(hostile: Arc<Hostile>) {
    let url = format!("{}/api/v1/runs", hostile.gateway.url());
    for command in COMMANDS.iter().cycle() {
        let text = script(command, 10);
        let body = json!({"appId": hostile.tools_app, "inputs": {"text": text}});
        let request = hostile.stack.client().post(&url).bearer_auth(&hostile.account.key).json(&body);
        drop(request.header("prefer", "wait=20").timeout(Duration::from_secs(30)).send().await);
        hostile.requests.fetch_add(1, Ordering::Relaxed);
    }
}

async fn uploads(hostile: Arc<Hostile>) {
    let url = format!("{}/api/v1/runs", hostile.gateway.url());
    let file = vec![b'x'; UPLOAD_BYTES];
    let app = hostile.account.app.to_string();
    loop {
        let parts = [("name=\"appId\"", app.as_bytes()), ("name=\"files\"; filename=\"a.bin\"", &file)];
        let request = hostile.stack.client().post(&url).bearer_auth(&hostile.account.key);
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = request.header("content-type", kind).body(form(&parts));
        drop(request.timeout(Duration::from_mins(1)).send().await);
        hostile.requests.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn readers(hostile: Arc<Hostile>) {
    loop {
        let mut open = Vec::new();
        for _ in 0..READERS {
            let path = "/api/v1/runs?include=inputs,result";
            open.push(unread(&hostile.gateway, path, &hostile.account.key).await);
            hostile.requests.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
}
